package sluice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

// spillDir is where these spills are, and what they are opened with.
const spillDir = "/spill"

func spillOptions(d *crashfs.FS) StreamOptions {
	opts := StreamOptions{
		ID: "s", Tag: "test.stream", Epoch: 100, Resource: NewResource(slog.String("service.name", "test")),
		Spill: SpillOn(d, SpillOptions{MaxBytes: minSpillBytes}),
	}
	return opts.withDefaults()
}

// unrun gives a stream that nobody runs, for its spill's sake.
func unrun(t testing.TB, d *crashfs.FS) *Stream {
	t.Helper()
	opts := spillOptions(d)
	sp, err := openSpill(opts)
	if err != nil {
		t.Fatal(err)
	}
	s := &Stream{opts: opts, spill: sp, queue: *newQueue(1<<20, 1<<30, 1000, 1<<20)}
	s.setMaxAppend(defaultMaxAppend)
	s.queue.maxRecords = 0 // what is added stays in the files
	s.queue.records = 1
	return s
}

// put adds records, each commit at once.
func put(t testing.TB, s *Stream, commits ...[]string) {
	t.Helper()
	for _, records := range commits {
		var c *commit
		for _, r := range records {
			c = s.spill.gather([]byte(r), 2, 1<<20) // two to a run
		}
		if err := s.carryOut(c); err != nil {
			t.Fatal(err)
		}
	}
}

// leave closes the files as if the process had been killed.
func leave(t testing.TB, s *Stream) {
	t.Helper()
	if err := s.spill.release(); err != nil {
		t.Fatal(err)
	}
}

// reread gives what a start finds, as "epoch:sequence:record", and how many were lost.
func reread(t testing.TB, d *crashfs.FS) (got []string, lost uint64) {
	t.Helper()
	s := unrun(t, d)
	defer leave(t, s)
	return readAll(t, s), s.stats.Dropped.SpillLost
}

func readAll(t testing.TB, s *Stream) (got []string) {
	t.Helper()
	s.queue = *newQueue(1<<20, 1<<30, 1000, 1<<20)
	before := s.spill.unread
	var r reader
	defer r.close()
	if err := s.readBack(&r); err != nil {
		t.Fatal(err)
	}
	if s.spill.unread != 0 || s.spill.unreadBytes != 0 {
		t.Errorf("%d records, %d bytes left to read", s.spill.unread, s.spill.unreadBytes)
	}
	for _, b := range s.queue.blocks {
		if b.report {
			continue
		}
		before -= b.count
		for i, r := range contents(b) {
			got = append(got, fmt.Sprintf("%d:%d:%s", b.life.epoch, b.first+uint64(i), r))
		}
	}
	if before != 0 {
		t.Errorf("%d fewer records than were found at the start", before)
	}
	return got
}

// specimen is a spill of two lives and three segments, which was not closed. It gives what is in it, too.
func specimen(t testing.TB) (d *crashfs.FS, all []string) {
	t.Helper()
	d = crashfs.New()
	s := unrun(t, d)
	for life := range 2 {
		if life > 0 {
			s = unrun(t, d)
		}
		sequence := 0
		for i := range 12 {
			var records []string
			for j := range 1 + i%4 {
				sequence++
				r := fmt.Sprintf("%d/%d/%d-%s", life, i, j, strings.Repeat("x", 40*i%700))
				records = append(records, r)
				all = append(all, fmt.Sprintf("%d:%d:%s", s.spill.own.epoch, sequence, r))
			}
			put(t, s, records)
		}
		leave(t, s)
	}
	return d, all
}

func segmentFiles(d *crashfs.FS) []string {
	return slices.DeleteFunc(d.Files(), func(name string) bool { return filepath.Ext(name) != segmentSuffix })
}

func TestSpillReadsBackWhatWasWritten(t *testing.T) {
	d, all := specimen(t)
	if n := len(segmentFiles(d)); n < 3 {
		t.Fatalf("%d segments", n)
	}
	for range 2 {
		got, lost := reread(t, d)
		if diff := cmp.Diff(all, got); diff != "" || lost != 0 {
			t.Errorf("%d lost, %s", lost, diff)
		}
	}
	s := unrun(t, d)
	defer leave(t, s)
	if s.spill.own.epoch != 102 || s.spill.life.epoch != 100 || s.spill.epoch() != 100 {
		t.Errorf("epoch %d, begins in %d, sent as %d", s.spill.own.epoch, s.spill.life.epoch, s.spill.epoch())
	}
	if got := s.spill.life.opening(1, 1); got.GetTag() != "test.stream" || !proto.Equal(got.GetResource(), s.opts.Resource) {
		t.Errorf("opens with %v", got)
	}
}

// A producer that is killed may have written any part of its last commit.
func TestSpillTornAtEveryByte(t *testing.T) {
	d, all := specimen(t)
	files := segmentFiles(d)
	last := files[len(files)-1]
	whole := d.Content(last)
	var earlier int // records that are in the other files
	d.Put(last, nil)
	got, _ := reread(t, d)
	earlier = len(got)
	for _, tail := range []string{"", "\x00\x00\x00\x00", strings.Repeat("\x00", 300), strings.Repeat("\xff", 300), "SLUICESP"} {
		n := earlier
		for cut := range len(whole) + 1 {
			d.Put(last, append(slices.Clone(whole[:cut]), tail...))
			got, lost := reread(t, d)
			if lost != 0 || len(got) < n || !slices.Equal(got, all[:len(got)]) {
				t.Fatalf("cut at %d of %d: %d records after %d, %d lost", cut, len(whole), len(got), n, lost)
			}
			n = len(got)
		}
		if n != len(all) {
			t.Errorf("%d records of the whole, want %d", n, len(all))
		}
	}
}

// A byte that goes bad costs the run that it is in, which is counted, and nothing else.
func TestSpillWithAFlippedByte(t *testing.T) {
	d, all := specimen(t)
	for _, name := range segmentFiles(d) {
		content := d.Content(name)
		for at := range content {
			d.Flip(name, int64(at), byte(1<<(at%8)))
			got, lost := reread(t, d)
			d.Flip(name, int64(at), byte(1<<(at%8)))
			missing := slices.DeleteFunc(slices.Clone(all), func(r string) bool { return slices.Contains(got, r) })
			if len(got)+len(missing) != len(all) || !slices.IsSorted(ranks(all, got)) {
				t.Fatalf("%s at %d: read %q", name, at, got)
			}
			if len(missing) > 2 {
				t.Fatalf("%s at %d: %d records are missing", name, at, len(missing))
			}
			// At the end of a life it cannot be told from a commit that was being written.
			if atEnd := len(missing) > 0 && endsLife(all, missing[len(missing)-1]); !atEnd && lost != uint64(len(missing)) {
				t.Fatalf("%s at %d: %d lost, and %d are missing", name, at, lost, len(missing))
			}
		}
	}
}

// ranks gives the places of records; they are all among them.
func ranks(all, records []string) []int {
	out := make([]int, len(records))
	for i, r := range records {
		out[i] = slices.Index(all, r)
	}
	return out
}

func endsLife(all []string, record string) bool {
	i := slices.Index(all, record)
	return i == len(all)-1 || all[i][:3] != all[i+1][:3]
}

// A file that is no segment any more costs its records. They are counted where the next one shows how many that were; and as
// one, for a file of which nothing can be told, if it is longer than one that was being begun.
func TestSpillWithoutASegment(t *testing.T) {
	d, all := specimen(t)
	files := segmentFiles(d)
	var counted uint64
	for i, name := range files {
		content := d.Content(name)
		d.Put(name, bytes.Repeat([]byte("no segment"), 1+20*(i%2)))
		s := unrun(t, d)
		got := readAll(t, s)
		lost, missing := s.stats.Dropped.SpillLost, uint64(len(all)-len(got))
		if missing == 0 || !slices.IsSorted(ranks(all, got)) {
			t.Errorf("without %s: %q", name, got)
		}
		if lost != 0 && lost != missing {
			t.Errorf("without %s: %d lost, and %d are missing", name, lost, missing)
		}
		counted += lost
		if s.spill.unreadable != i%2 {
			t.Errorf("without %s: %d unreadable", name, s.spill.unreadable)
		}
		leave(t, s)
		d.Put(name, content)
	}
	if counted == 0 {
		t.Error("none of them lies between two others of its life")
	}
}

// Records that look like runs, and like segments, are records.
func TestSpillOfSpillFiles(t *testing.T) {
	inner, _ := specimen(t)
	d := crashfs.New()
	s := unrun(t, d)
	for _, name := range segmentFiles(inner) {
		put(t, s, []string{"before", string(inner.Content(name)), "after"}, []string{"next"})
	}
	leave(t, s)
	name := segmentFiles(d)[0]
	for _, at := range []int64{s.spill.headSize, s.spill.headSize + runHead + 2, s.spill.headSize + 500} { // the run that holds the first of them
		d.Flip(name, at, 0x10)
		got, lost := reread(t, d)
		d.Flip(name, at, 0x10)
		for _, r := range got {
			if strings.Contains(r, ":0/") || strings.Contains(r, ":1/") {
				t.Errorf("read %q", r)
			}
		}
		if lost != 2 {
			t.Errorf("flipped at %d: %d lost", at, lost)
		}
	}
	for _, at := range []int64{0, s.spill.headSize / 2} { // now only the heads within the records are whole
		d.Flip(name, at, 0x10)
	}
	opened := unrun(t, d)
	defer leave(t, opened)
	if n := len(opened.spill.segments); n != len(segmentFiles(d))-1 {
		t.Errorf("%d segments", n)
	}
}

// What comes after a life that was sent under a greater epoch than its own is sent under one that is greater still.
func TestSpillGoesOnAboveARaisedEpoch(t *testing.T) {
	d, all := specimen(t)
	var m markFile
	if err := m.open(crashDisk{d}, spillDir, true); err != nil {
		t.Fatal(err)
	}
	if err := m.write(spillMark{epoch: 100, sent: 900, acked: uint64(len(all) / 2)}, true); err != nil {
		t.Fatal(err)
	}
	s := unrun(t, d)
	defer leave(t, s)
	if s.spill.life.epoch != 101 || s.spill.epoch() != 901 || s.spill.own.epoch < 901 || s.spill.unread != len(all)/2 {
		t.Errorf("begins in %d, sent as %d, the own is %d; %d unread", s.spill.life.epoch, s.spill.epoch(), s.spill.own.epoch, s.spill.unread)
	}
}

// What version 1 of the format has written is read by whatever comes later.
func TestSpillReadsVersion1(t *testing.T) {
	d := crashfs.New()
	for from, to := range map[string]string{"version1.spill": "00000000000000000001.spill", "version1.acked": markName} {
		content, err := os.ReadFile(filepath.Join("testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		d.Put(filepath.Join(spillDir, to), content)
	}
	s := unrun(t, d)
	defer leave(t, s)
	if diff := cmp.Diff([]string{"7:3:ccc", "7:4:dddd", "7:5:eeeee"}, readAll(t, s)); diff != "" {
		t.Error(diff)
	}
	if s.spill.epoch() != 9 {
		t.Errorf("sent under %d", s.spill.epoch())
	}
}

func TestSpillOfALaterVersion(t *testing.T) {
	d, _ := specimen(t)
	name := segmentFiles(d)[1]
	b := d.Content(name)
	binary.LittleEndian.PutUint32(b[8:], 2)
	binary.LittleEndian.PutUint32(b[28:], checksum(0, b[:28]))
	d.Put(name, b)
	if _, err := openSpill(spillOptions(d)); !errors.Is(err, errSpillVersion) {
		t.Errorf("open: %v", err)
	}
	if diff := cmp.Diff(b, d.Content(name)); diff != "" {
		t.Error("it was changed")
	}
	if d.Opened() != 0 {
		t.Errorf("%d files are open", d.Opened())
	}
}

func TestSpillOfAnotherStream(t *testing.T) {
	d, _ := specimen(t)
	opts := spillOptions(d)
	opts.ID = "other"
	if _, err := openSpill(opts); err == nil || !strings.Contains(err.Error(), `it is of stream "s", not "other"`) {
		t.Errorf("open: %v", err)
	}
}

func TestSpillIsLocked(t *testing.T) {
	d := crashfs.New()
	s := unrun(t, d)
	if _, err := openSpill(spillOptions(d)); !errors.Is(err, ErrSpillLocked) {
		t.Errorf("open: %v", err)
	}
	leave(t, s)
	leave(t, unrun(t, d))
}

func TestMarkTakesTurns(t *testing.T) {
	d := crashfs.New()
	if err := d.MkdirAll(spillDir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(spillDir, markName)
	open := func(exists bool) *markFile {
		m := new(markFile)
		if err := m.open(crashDisk{d}, spillDir, exists); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open(false)
	for i := range uint64(5) {
		if err := m.write(spillMark{epoch: 7, sent: 8, acked: i}, false); err != nil {
			t.Fatal(err)
		}
		if got := open(true).last; got.acked != i || got.epoch != 7 || got.sent != 8 {
			t.Errorf("read %+v after %d", got, i)
		}
	}
	whole := d.Content(name)
	for at := range whole { // one of the two is left
		d.Flip(name, int64(at), 1)
		if got := open(true).last; got.acked != 4 && got.acked != 3 {
			t.Errorf("flipped at %d: %+v", at, got)
		}
		d.Flip(name, int64(at), 1)
	}
	for cut := range whole {
		d.Put(name, whole[:cut])
		if got := open(true).last; got.acked != 4 && got.acked != 3 && cut >= markBytes {
			t.Errorf("cut at %d: %+v", cut, got)
		}
	}
}
