package seglog

import (
	"fmt"
	"slices"
)

// Damage is a part of a segment that cannot be read.
type Damage struct {
	Segment  uint64
	Offset   int64
	From, To LSN // entries that are lost, up to before To; equal where there are none, or that is not known
	Reason   string
}

func (d Damage) String() string {
	where := fmt.Sprintf("segment %d at offset %d: %s", d.Segment, d.Offset, d.Reason)
	if d.From >= d.To {
		return where
	}
	return fmt.Sprintf("%s, entries %d to %d are lost", where, d.From, d.To-1)
}

// What can be wrong.
const (
	badFrame = "its checksum is wrong"
	badTail  = "it ends early"
	unread   = "the disk does not give it"
)

// A DamageError says that an entry cannot be read, for what lies there is not what was written.
type DamageError struct{ Damage }

func (e *DamageError) Error() string { return e.String() }

// note keeps damage with its segment, which is kept apart for it when it is freed, and reports whether it is news.
func (l *Log) note(s *segment, d Damage) bool {
	l.mu.Lock()
	news := !slices.Contains(s.damage, d)
	if news {
		s.damage = append(s.damage, d)
	}
	mark := news && s.sealed && len(s.damage) == 1
	l.mu.Unlock()
	if mark {
		l.mark(s)
	}
	return news
}

// mark has the seal say that there is damage, so that it is not forgotten when the log is opened again.
func (l *Log) mark(s *segment) {
	l.exclusively(func() {
		if l.holding(s.number) != s {
			return
		}
		if err := s.writeSeal(true); err != nil {
			l.Log.Warn("seal segment", "segment", s.name, "err", err)
		}
	})
}
