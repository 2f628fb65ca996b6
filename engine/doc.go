// Package engine is the vocabulary of sluice and what it is made for: streams with exact memory limits, and their
// delivery to outputs.
//
// Records come in through a [Session] of an [Engine], are charged to their stream, gathered into chunks and appended to a
// [Buffer]. Every output reads the buffer through its own [Cursor]; its delivery loop cuts what it reads into spans, asks
// its [Scheduler] what flies next, and hands the batch to the [Output]. What the output has taken, what it refused for
// good, and what was dropped knowingly is done: the cursor is told, the chunk's memory is uncharged, and the stream's ack
// moves up.
//
// The package imports the standard library and protobuf's wire primitives, nothing else. Buffers, schedulers and outputs
// import it, never the reverse.
package engine
