package sluice

import (
	"fmt"
	"log/slog"
	"time"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// drop counts dropped records and tells the hook. The mutex is held.
func (s *Stream) drop(d Drop) {
	switch d.Reason {
	case DropQueueFull:
		s.stats.Dropped.QueueFull += d.Records
	case DropTooLarge:
		s.stats.Dropped.TooLarge += d.Records
	case DropMalformed:
		s.stats.Dropped.Malformed += d.Records
	case DropSpillFailed:
		s.stats.Dropped.SpillFailed += d.Records
	case DropSpillLost:
		s.stats.Dropped.SpillLost += d.Records
	}
	s.notes.post(func(m *mailbox) { m.addDrop(d) })
}

// dropUnsent counts a record dropped from, or before, a full queue. That is reported in the stream, as soon as there is
// room. The mutex is held.
func (s *Stream) dropUnsent(size int) {
	s.drop(Drop{Reason: DropQueueFull, Records: 1, Bytes: uint64(size)})
	s.unreported.Records++
	s.unreported.Bytes += uint64(size)
}

// reportDrops puts a report of dropped records where they are missing: at the front, where the oldest are dropped, just
// before the sender takes it; at the end, where the newest are, once there is room or at any rate if forced. The mutex is
// held. With a spill, what is added reports instead.
func (s *Stream) reportDrops(force bool) {
	if s.unreported.Records == 0 {
		return
	}
	d := s.unreported
	d.Reason = DropQueueFull
	record := dropReport(d)
	switch {
	case s.opts.WhenFull == DropOldest:
		s.queue.standIn(record)
	case force || s.queue.fits(len(record)):
		s.queue.add(record)
	default:
		return
	}
	s.stats.Reports++
	s.unreported = Drop{}
}

// replaceTooLarge makes a report of a record that has its sequence already, and does not fit into an append of a gateway
// that takes less than the one before. The mutex is held.
func (s *Stream) replaceTooLarge(b *block) {
	d := Drop{Reason: DropTooLarge, Records: 1, Bytes: uint64(len(b.data))}
	s.drop(d)
	s.stats.Reports++
	s.window.replace(b, dropReport(d))
}

// dropReport is a record that says what was dropped.
func dropReport(d Drop) []byte {
	noun := "records"
	if d.Records == 1 {
		noun = "record"
	}
	b := appendTime(nil, time.Now())
	b = appendVarint(b, recordSeverity, uint64(sluicev1.SeverityNumber_SEVERITY_NUMBER_WARN))
	b = appendString(b, recordSeverityText, slog.LevelWarn.String())
	b = appendAnyString(b, recordBody, fmt.Sprintf("sluice: %d %s dropped: %s", d.Records, noun, d.Reason))
	return appendAttrs(b, recordAttributes, []slog.Attr{
		slog.Uint64("sluice.dropped.records", d.Records),
		slog.Uint64("sluice.dropped.bytes", d.Bytes),
		slog.String("sluice.dropped.reason", string(d.Reason)),
	})
}
