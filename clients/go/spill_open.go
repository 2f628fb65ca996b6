package sluice

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// openSpill opens the spill of these options, finds what is in it, and gives it a new life. Nil without a spill.
func openSpill(opts StreamOptions) (*spill, error) {
	o := opts.Spill
	if o == nil {
		return nil, nil
	}
	sp := &spill{
		dir: o.Path, disk: o.disk, sync: o.Sync == SyncAlways,
		maxBytes: o.MaxBytes, segmentBytes: min(o.MaxBytes/spillSegments, maxSegmentBytes),
		next: 1, wake: make(chan struct{}, 1), kept: make(chan struct{}),
	}
	if err := sp.open(opts); err != nil {
		return nil, fmt.Errorf("open spill %s: %w", sp.dir, errors.Join(err, sp.release()))
	}
	return sp, nil
}

func (sp *spill) open(opts StreamOptions) error {
	sp.own = &life{open: &sluicev1.Open{StreamId: opts.ID, Tag: opts.Tag, Resource: opts.Resource}}
	head, err := appendHead(nil, sp.own.opening(maxSequence, maxSequence), 0)
	if err != nil {
		return err
	}
	sp.headSize = int64(len(head))
	if err := sp.disk.MkdirAll(sp.dir); err != nil {
		return err
	}
	lock, err := sp.disk.Lock(filepath.Join(sp.dir, "lock"))
	if err != nil {
		return err
	}
	sp.lock = lock
	names, err := sp.disk.List(sp.dir)
	if err != nil {
		return err
	}
	if err := sp.marks.open(sp.disk, sp.dir, slices.Contains(names, markName)); err != nil {
		return err
	}
	for _, name := range names {
		number, err := strconv.ParseUint(strings.TrimSuffix(name, segmentSuffix), 10, 64)
		if err != nil || filepath.Join(sp.dir, name) != segmentName(sp.dir, number) {
			continue // no segment
		}
		if err := sp.meet(number, opts.ID); err != nil {
			return fmt.Errorf("segment %d: %w", number, err)
		}
	}
	for i, seg := range sp.segments {
		if err := sp.measure(i, seg); err != nil {
			return fmt.Errorf("segment %d: %w", seg.number, err)
		}
	}
	sp.resume()
	sp.begin(opts.Epoch)
	return nil
}

// meet reads the head of a segment that is there. One without a head is given up. If it is no longer than a head it was being
// begun as the producer was killed; otherwise it had records, which nobody can count.
func (sp *spill) meet(number uint64, id string) error {
	f, err := sp.disk.Open(segmentName(sp.dir, number))
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	b := make([]byte, min(size, maxHead))
	if n, err := f.ReadAt(b, 0); n < len(b) && !errors.Is(err, io.EOF) {
		return err
	}
	sp.number = number
	seg := &segment{number: number}
	seg.grow(size)
	open, salt, head, err := parseHead(b)
	switch {
	case errors.Is(err, errNoHead):
		if size > sp.headSize {
			sp.unreadable++
		}
		seg.charge = 0
		sp.doomed = append(sp.doomed, seg)
		return nil
	case err != nil:
		return err
	case open.GetStreamId() != id:
		return fmt.Errorf("it is of stream %q, not %q", open.GetStreamId(), id)
	}
	seg.salt, seg.head, seg.first = salt, min(head, size), open.GetFirstSequence()
	open.FirstSequence = 0
	seg.life = &life{epoch: open.GetEpoch(), open: open}
	if last := sp.newest(); last != nil && last.life.is(seg.life) {
		seg.life = last.life
	}
	sp.segments = append(sp.segments, seg)
	sp.bytes += seg.charge
	return nil
}

// is tells whether two lives are one.
func (l *life) is(other *life) bool {
	a, errA := proto.MarshalOptions{Deterministic: true}.Marshal(l.open)
	b, errB := proto.MarshalOptions{Deterministic: true}.Marshal(other.open)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// measure reads a segment and finds how far it goes, and what of it is not acked.
func (sp *spill) measure(i int, seg *segment) error {
	below := uint64(maxSequence)
	if i+1 < len(sp.segments) && sp.segments[i+1].life == seg.life {
		below = sp.segments[i+1].first
	}
	if i > 0 {
		before := sp.segments[i-1]
		if seg.shift = before.shift; before.life != seg.life {
			seg.shift = before.lastTicket() // which the life's tickets follow on
		}
	}
	f, err := sp.disk.Open(segmentName(sp.dir, seg.number))
	if err != nil {
		return err
	}
	defer f.Close()
	sc := &scanner{src: f, salt: seg.salt, at: seg.head, end: seg.end, next: seg.first, below: below}
	seg.end, seg.next = seg.head, seg.first
	acked := sp.ackedOf(seg.life)
	for {
		r, err := sc.scan()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		seg.end, seg.next = sc.at, r.end()
		if known := min(uint64(r.count), max(acked, r.first-1)-(r.first-1)); known < uint64(r.count) {
			seg.unread += r.count - int(known)
			seg.unreadBytes += r.size - offset(r.data, int(known))
		}
	}
	sp.unread += seg.unread
	sp.unreadBytes += seg.unreadBytes
	return nil
}

// ackedOf is what was acked of a life.
func (sp *spill) ackedOf(l *life) uint64 {
	switch mark := sp.marks.last; {
	case l.epoch < mark.epoch:
		return maxSequence
	case l.epoch == mark.epoch:
		return mark.acked
	default:
		return 0
	}
}

// resume finds where the life before, or the ones before, are to be gone on with.
func (sp *spill) resume() {
	sp.resumed = uint64(sp.unread)
	for _, seg := range sp.segments {
		if seg.unread == 0 {
			continue
		}
		sp.life = seg.life
		sp.pos = place{seg: seg, off: seg.head, next: sp.ackedOf(seg.life) + 1}
		if sp.marks.number == 0 { // nothing is known of what was acked
			sp.pos.next = seg.first
		}
		return
	}
}

// begin gives the spill's own life an epoch that is greater than those before it. Nothing is written until there is a record:
// what is there is not appended to, for a gateway may know of records at its end that have not outlived a crash.
func (sp *spill) begin(epoch uint64) {
	epoch = max(epoch, sp.marks.last.epoch+1, sp.marks.last.sent+1)
	for _, seg := range sp.segments {
		epoch = max(epoch, seg.life.epoch+1)
		sp.shift = seg.lastTicket()
	}
	sp.own.epoch = epoch
	if sp.life == nil {
		sp.life = sp.own
	}
}

// epoch is what the life that the stream begins in is sent under.
func (sp *spill) epoch() uint64 {
	mark := sp.marks.last
	if sp.life.epoch == mark.epoch {
		return mark.sent
	}
	return max(sp.life.epoch, mark.sent+1)
}

// create makes the next segment. It is on no list yet.
func (sp *spill) create() error {
	seg := &segment{
		number: sp.number + 1, life: sp.own, salt: rand.Uint32(), first: sp.next, next: sp.next, shift: sp.shift,
	}
	head, err := appendHead(nil, sp.own.opening(sp.own.epoch, seg.first), seg.salt)
	if err != nil {
		return err
	}
	seg.head = int64(len(head))
	name := segmentName(sp.dir, seg.number)
	f, err := sp.disk.Create(name)
	if err != nil {
		return err
	}
	sp.number++ // also if it fails: nobody gets to see a file of that number
	_, err = f.WriteAt(head, 0)
	if err == nil && sp.sync {
		err = errors.Join(f.Sync(), sp.disk.SyncDir(sp.dir))
	}
	if err != nil {
		return errors.Join(err, f.Close(), sp.discard(seg))
	}
	seg.grow(seg.head)
	sp.active, sp.file = seg, f
	return nil
}

// discard removes a segment that has no record.
func (sp *spill) discard(seg *segment) error {
	err := sp.disk.Remove(segmentName(sp.dir, seg.number))
	if err != nil {
		seg.charge = 0 // it was not counted
		sp.strays = append(sp.strays, seg)
	}
	return err
}

// release closes what is open. Nil: nothing is.
func (sp *spill) release() error {
	if sp == nil {
		return nil
	}
	var faults []error
	if sp.file != nil {
		faults = append(faults, sp.file.Close())
	}
	if sp.marks.file != nil {
		faults = append(faults, sp.marks.file.Close())
	}
	if sp.lock != nil {
		faults = append(faults, sp.lock.Close())
	}
	return errors.Join(faults...)
}
