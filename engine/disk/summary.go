package disk

import (
	"time"

	"github.com/sluicelog/sluice/engine"
)

var _ engine.Keeper = (*Buffer)(nil)

// A Summary is what a buffer found when it was opened.
type Summary struct {
	Segments int
	Stored   int64           // bytes that the segments hold, of those that are full their whole size
	Outputs  []OutputSummary // those that need something: first the ones that are configured, in their order
	Streams  int             // that have something in it, or may come back to go on where they were

	Checkpoint time.Time // when the process before wrote where the outputs are; zero: nothing can be read of that
	Behind     int64     // chunks that were stored after it: none after a stop in order
	Unsynced   int64     // chunks that it knew of and the log does not have: the machine stopped before they were synced
}

// An OutputSummary is what an output, configured or not, has yet to deliver.
type OutputSummary struct {
	Output         string
	Records, Bytes int64 // the bytes as charged
}

// Empty reports whether there is nothing to go on with.
func (s *Summary) Empty() bool {
	return len(s.Outputs) == 0 && s.Streams == 0 && s.Behind == 0 && s.Unsynced == 0
}

// Found is what was there when the buffer was opened.
func (b *Buffer) Found() *Summary { return b.found }

// summary is what is there now, and how far the log is from the last checkpoint.
func (b *Buffer) summary(last *checkpoint) *Summary {
	s := &Summary{Segments: len(b.log.Segments()), Stored: b.log.Stored(), Streams: b.roster.size(), Checkpoint: last.Written}
	if end := int64(b.log.End().LSN); last.Number > 0 {
		s.Behind = max(end-int64(last.End.LSN), 0)
		if !last.Guessed {
			s.Unsynced = max(int64(last.End.LSN)-end, 0)
		}
	}
	for _, c := range b.cursors {
		if c.backlog.Chunks > 0 {
			s.Outputs = append(s.Outputs, OutputSummary{c.Name, c.backlog.Records, c.backlog.Bytes})
		}
	}
	return s
}

// size is how many streams are known.
func (r *roster) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.accounts)
}

// Absent implements [engine.Keeper].
func (b *Buffer) Absent() (outputs []engine.AbsentStats, stored int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.cursors[b.known.Len():] {
		if c.backlog.Chunks > 0 { // of what the disk does not give at the start the records are not known
			outputs = append(outputs, engine.AbsentStats{Output: c.Name, Records: c.backlog.Records, Bytes: c.backlog.Bytes})
		}
	}
	return outputs, b.absentRoom.Load()
}
