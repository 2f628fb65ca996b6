package main

import (
	"fmt"
	"time"
)

// A life is one run of the gateway, once it is over.
type life struct {
	killed time.Time // when the signal was sent
	saved  time.Time // when the newest checkpoint that was there then was taken; zero: there was none
}

// A window says which records may be written again after a kill.
type window struct {
	interval time.Duration // between checkpoints
	slack    time.Duration // how long a checkpoint may take
	telling  time.Duration // from when a record is in the file until the buffer has been told
}

// A counts is what became of the records.
type counts struct {
	written    int64 // records, repeats among them
	duplicates int64
	lost       int64
	disordered int64 // do not follow the one before them
	stored     int64 // duplicates: written twice in one life
	early      int64 // duplicates: the checkpoint that the gateway went on from had them as delivered
	old        int64 // duplicates: written longer before the kill than the window is
	foreign    int64 // what nobody logged
	torn       int64 // lines that a kill has torn

	oldest time.Duration // of a duplicate: how long before the kill its first copy was seen
	passed time.Duration // of a duplicate: how long before the checkpoint its first copy was seen, at most
}

// wrong is how many there are that should not be.
func (c counts) wrong() int64 { return c.lost + c.disordered + c.stored + c.early + c.old + c.foreign }

// A judge is told each record as it is found in the file, and says what is wrong with that. In each life a gateway
// writes of each stream a run of numbers without a gap, which begins with the first that was not written before, or with
// one that may be written again. It is not safe for concurrent use.
type judge struct {
	window
	counts
	lives   []life // those that are over
	streams map[string]*history
	faults  []string // the first of each kind
	kinds   map[string]int
}

func newJudge(w window) *judge {
	return &judge{window: w, streams: map[string]*history{}, kinds: map[string]int{}}
}

// A history is what was written of a stream.
type history struct {
	copies     []glimpse // the last copy of each number, from 1
	life       int       // that last wrote something, from 1
	last, most uint64
}

// A glimpse is when a copy was seen.
type glimpse struct {
	life int // from 1; 0: there was none
	at   time.Time
}

const (
	maxFaults = 5       // of a kind that are told
	maxNumber = 1 << 28 // of what was logged
)

// fault tells what is wrong, in words.
func (j *judge) fault(kind, format string, args ...any) {
	if j.kinds[kind]++; j.kinds[kind] <= maxFaults {
		j.faults = append(j.faults, kind+": "+fmt.Sprintf(format, args...))
	}
}

func (j *judge) history(stream string) *history {
	h := j.streams[stream]
	if h == nil {
		h = &history{}
		j.streams[stream] = h
	}
	return h
}

// now is the life that runs, from 1.
func (j *judge) now() int { return len(j.lives) + 1 }

// end ends a life, after all that it wrote was seen.
func (j *judge) end(l life) { j.lives = append(j.lives, l) }

// see judges a record that was found in the file at some time, and was written in a life.
func (j *judge) see(stream string, number uint64, life int, at time.Time) {
	j.written++
	if number == 0 || number > maxNumber {
		j.alien(stream, number)
		return
	}
	h := j.history(stream)
	j.follow(h, stream, number, life)
	for uint64(len(h.copies)) < number {
		h.copies = append(h.copies, glimpse{})
	}
	before := h.copies[number-1]
	h.copies[number-1] = glimpse{life, at}
	if before.life > 0 {
		j.duplicates++
		j.repeat(stream, number, life, before)
	}
}

// follow judges whether a record is where it should be.
func (j *judge) follow(h *history, stream string, number uint64, life int) {
	switch {
	case h.life == life && number != h.last+1:
		j.disordered++
		j.fault("out of order", "%s %d comes behind %d in life %d", stream, number, h.last, life)
	case h.life != life && number > h.most+1:
		j.disordered++
		j.fault("out of order", "%s %d is the first of life %d, and %d was the last before", stream, number, life, h.most)
	}
	h.life, h.last, h.most = life, number, max(h.most, number)
}

// repeat judges a duplicate. What counts is the life that the copy before is of: how it ended.
func (j *judge) repeat(stream string, number uint64, life int, before glimpse) {
	if before.life == life {
		j.stored++
		j.fault("stored twice", "%s %d comes again in life %d", stream, number, life)
		return
	}
	l := j.lives[before.life-1]
	age, passed := l.killed.Sub(before.at), l.saved.Sub(before.at)
	j.oldest, j.passed = max(j.oldest, age), max(j.passed, passed)
	if passed > j.telling {
		j.early++
		j.fault("again in spite of the checkpoint", "%s %d was written in life %d, %s before the last checkpoint", stream, number,
			before.life, passed)
	}
	if age > j.interval+j.slack {
		j.old++
		j.fault("again after too long", "%s %d was written %s before the end of life %d", stream, number, age, before.life)
	}
}

func (j *judge) alien(stream string, number uint64) {
	j.foreign++
	j.fault("foreign", "%s %d was not logged", stream, number)
}

// account judges what is missing, once all is over: of each stream so many were logged.
func (j *judge) account(logged map[string]uint64) {
	for stream, h := range j.streams {
		for number := logged[stream] + 1; number <= h.most; number++ {
			if h.copies[number-1].life > 0 {
				j.alien(stream, number)
			}
		}
	}
	for stream, last := range logged {
		h := j.history(stream)
		for number := uint64(1); number <= last; number++ {
			if number > uint64(len(h.copies)) || h.copies[number-1].life == 0 {
				j.lost++
				j.fault("lost", "%s %d of %d", stream, number, last)
			}
		}
	}
}
