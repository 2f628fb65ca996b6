package disk

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// A sick buffer lies on a disk that does not give all of what it has. Its chunks have ten records, and ten or so fill a segment.
type sick struct {
	t *testing.T
	*Buffer
	fs    *crashfs.FS
	log   strings.Builder
	mint  enginetest.Mint
	next  uint64
	pages map[int64]bool // of the first segment, that are not given
}

// inSick runs a test with a buffer that keeps nothing in memory, in a bubble.
func inSick(t *testing.T, chunks int, run func(*sick)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &sick{t: t, fs: crashfs.New(), next: 1, pages: map[int64]bool{}}
		s.open()
		for range chunks {
			s.append()
		}
		s.fs.Inject(s.fault)
		run(s)
		s.fs.Inject(nil)
		s.close()
	})
}

func (s *sick) open() {
	s.t.Helper()
	s.openFor(engine.BufferOutput{Name: "a"}, engine.BufferOutput{Name: "b"})
}

func (s *sick) openFor(outputs ...engine.BufferOutput) {
	s.t.Helper()
	b, err := Open(Options{
		Dir: "d", FS: s.fs, SegmentSize: 16 << 10, Checkpoint: time.Hour, Memory: 1, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	}, outputs)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Buffer = b
}

func (s *sick) close() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
	s.mint.Check(s.t)
}

func (s *sick) append() { s.appendTo(3) }

func (s *sick) appendTo(outputs engine.OutputSet) {
	s.t.Helper()
	bodies := slices.Repeat([]string{strings.Repeat("x", 100)}, 10)
	c := s.mint.Chunk(&engine.Stream{Tenant: "default", ID: "s", Tag: "t"}, s.next, outputs, bodies...)
	s.next += 10
	if _, err := s.Append([]*engine.Chunk{c}, func() {}); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
}

func (s *sick) fault(op crashfs.Op) crashfs.Fault {
	if op.Kind == crashfs.Read && strings.HasSuffix(op.Name, "1.seg") {
		for page := range s.pages {
			if op.Offset < (page+1)*4096 && page*4096 < op.Offset+op.Size {
				return crashfs.Fault{Err: syscall.EIO}
			}
		}
	}
	return crashfs.Fault{}
}

func (s *sick) cursor(output string) engine.Cursor {
	s.t.Helper()
	c, err := s.Cursor(output)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// read gives what an output reads within some time: the numbers of the chunks, from 0, and the parts.
func (s *sick) read(output string, within time.Duration) (chunks []int, parts []engine.Part) {
	s.t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Second) {
		p, c, ok := s.cursor(output).Next()
		for ; ok; p, c, ok = s.cursor(output).Next() {
			chunks, parts = append(chunks, int(c.First-1)/10), append(parts, p)
			c.Release()
		}
		if time.Since(begun) >= within {
			return chunks, parts
		}
	}
}

func (s *sick) done(output string, parts []engine.Part) {
	s.t.Helper()
	if err := s.cursor(output).Done(parts); err != nil {
		s.t.Error(err)
	}
}

func (s *sick) isFailing() bool { return len(s.Failing()) > 0 }

// told is how many lines of the log say something.
func (s *sick) told(what string) int {
	synctest.Wait()
	return strings.Count(s.log.String(), what)
}

// What lies on bad sectors of a segment, many or the head of an entry, holds an output up once, for ten minutes, and is lost then.
func TestBadSectorsCostPatienceOnce(t *testing.T) {
	inSick(t, 30, func(s *sick) {
		s.pages = map[int64]bool{2: true, 3: true} // all entries of the first segment
		begun := time.Now()
		chunks, parts := s.read("a", 9*time.Minute)
		if len(chunks) > 0 || !s.isFailing() {
			t.Fatalf("read %v, failing %v", chunks, s.Failing())
		}
		for len(chunks) == 0 {
			chunks, parts = s.read("a", time.Second)
			if time.Since(begun) > 11*time.Minute {
				t.Fatal("it is held up for ever")
			}
		}
		first := chunks[0]
		if n := len(chunks); first == 0 || n != 30-first || s.isFailing() {
			t.Fatalf("read %v, failing %v", chunks, s.Failing())
		}
		if lost := s.cursors[0].Lost(); lost != int64(10*first) {
			t.Errorf("%d records are lost, want %d", lost, 10*first)
		}
		s.done("a", parts)
		if b := s.cursor("a").Backlog(); b.Chunks != 0 || b.Records != 0 || b.Bytes != 0 {
			t.Errorf("%+v", b)
		}
		time.Sleep(2 * lossPause)
		synctest.Wait()
		for _, line := range []string{"damage in the buffer", "chunks are lost"} {
			if n := s.told(line); n != 1 {
				t.Errorf("%q is told %d times:\n%s", line, n, &s.log)
			}
		}
	})
}

// What is found out as the buffer is opened need not be: it is opened, and what the disk did not give then is given out when it does.
func TestOpenOnBadSectors(t *testing.T) {
	for name, passes := range map[string]bool{"for good": false, "for a while": true} {
		t.Run(name, func(t *testing.T) {
			inSick(t, 2, func(s *sick) {
				_, parts := s.read("a", 0)
				s.done("a", parts) // its cursor, and not the other's, stands in the middle of the segment
				s.append()
				if err := s.save(); err != nil { // what comes behind it is read as the buffer is opened
					t.Fatal(err)
				}
				for range 27 {
					s.append()
				}
				before := s.Buffer
				s.fs = s.fs.Kill()
				_ = before.Close()
				s.fs.Flip("d/00000000000000000001.seg", 4096, 1) // without a seal it is to be read
				s.fs.Inject(s.fault)
				s.pages = map[int64]bool{2: true}
				s.open()
				if s.told("the disk does not give a part") != 1 {
					t.Errorf("log:\n%s", &s.log)
				}
				if passes {
					clear(s.pages)
				}
				s.append()
				for i, output := range []string{"a", "b"} {
					if b := s.cursor(output).Backlog(); b.Chunks < 31-2*(1-i) {
						t.Errorf("output %s has %+v", output, b)
					}
					chunks, parts := s.read(output, 11*time.Minute)
					from := 2 * (1 - i)
					if whole := len(chunks) == 31-from; whole != passes || chunks[len(chunks)-1] != 30 {
						t.Errorf("output %s reads %v", output, chunks)
					}
					s.done(output, parts)
					if b := s.cursor(output).Backlog(); b.Chunks != 0 || b.Records != 0 || b.Bytes != 0 {
						t.Errorf("output %s: %+v", output, b)
					}
				}
				if lost := lostBy(s.Buffer); passes && lost != 0 {
					t.Errorf("%d records are lost", lost)
				}
			})
		})
	}
}

// Reading works again when all can be read that could not be, and not when something else can.
func TestReadingWorksAgain(t *testing.T) {
	inSick(t, 9, func(s *sick) {
		_, parts := s.read("a", 0)
		s.pages = map[int64]bool{2: true}
		load := func(i int) error {
			c, err := s.cursor("a").Load(t.Context(), parts[i].Pos)
			if err == nil {
				c.Release()
			}
			return err
		}
		last := len(parts) - 1
		for range 5 {
			for _, i := range []int{0, 1} {
				if err := load(i); !errors.Is(err, syscall.EIO) {
					t.Fatal(err)
				}
			}
			if err := load(last); err != nil {
				t.Fatal(err)
			}
			s.read("b", 0)
		}
		if s.told("fails") != 1 || s.told("works again") != 0 || !s.isFailing() {
			t.Errorf("log:\n%s", &s.log)
		}
		clear(s.pages)
		s.read("b", 0)
		if err := load(0); err != nil || !s.isFailing() {
			t.Errorf("%v, failing %v", err, s.Failing())
		}
		s.done("a", parts[1:2]) // it is not needed any more
		if s.isFailing() || s.told("fails") != 1 || s.told("works again") != 1 {
			t.Errorf("failing %v, log:\n%s", s.Failing(), &s.log)
		}
	})
}

// A slowHandler is a log whose writer waits for the gate.
type slowHandler struct {
	slog.Handler
	gate chan struct{}
}

func (h slowHandler) Handle(ctx context.Context, r slog.Record) error {
	<-h.gate
	return h.Handler.Handle(ctx, r)
}

// A log that is written slowly holds nobody up.
func TestSlowLog(t *testing.T) {
	inSick(t, 9, func(s *sick) {
		gate := make(chan struct{})
		s.Log = slog.New(slowHandler{s.Log.Handler(), gate})
		s.pages = map[int64]bool{2: true}
		s.cursor("a").Next() // fails, which is told
		s.report(committing, errors.New("broken"))
		s.report(committing, nil)
		synctest.Wait()
		s.append()
		if _, _, ok := s.cursor("b").Next(); ok || s.cursor("a").Backlog().Chunks != 10 || !s.isFailing() {
			t.Errorf("b reads %v, failing %v", ok, s.Failing())
		}
		clear(s.pages)
		s.read("b", 0)
		s.read("a", 0)
		for range 200 {
			s.report(checkpointing, errors.New("flaps"))
			s.report(checkpointing, nil)
		}
		close(gate)
		if s.told("lines of the disk buffer were left out") != 1 || s.told("checkpoint") > maxNotices {
			t.Errorf("log:\n%s", &s.log)
		}
		if s.told("work=commit err=broken")+s.told("work=read err") != 2 || strings.Index(s.log.String(), "fails") > strings.Index(s.log.String(), "works again") {
			t.Errorf("log:\n%s", &s.log)
		}
	})
}

// However many chunks are lost with a segment, that is a line for each output.
func TestLossesAreToldInALine(t *testing.T) {
	inSick(t, 30, func(s *sick) {
		s.read("a", 0)
		s.fs.Inject(nil)
		s.close()
		if err := s.fs.Remove("d/00000000000000000002.seg"); err != nil {
			t.Fatal(err)
		}
		s.open()
		if s.told("chunks are lost") != 1 || s.told("output=a segment=2") != 1 {
			t.Errorf("log:\n%s", &s.log)
		}
		for page := range int64(4) { // every frame has bytes that are bad
			for at := page * 4096; at < (page+1)*4096 && page > 1; at += 64 {
				s.fs.Flip("d/00000000000000000001.seg", at+8, 1)
			}
		}
		s.log.Reset()
		s.read("a", 0)
		s.read("b", 0)
		time.Sleep(2 * lossPause)
		synctest.Wait()
		if n := s.told("\n"); n > 4 || s.told("output=a segment=1") != 1 || s.told("output=b segment=1") != 1 {
			t.Errorf("%d lines:\n%s", n, &s.log)
		}
	})
}

// Of a chunk whose records are done in any order a checkpoint has a bit for each.
func TestDoneInAnyOrder(t *testing.T) {
	r := newRestarting(t, "a")
	r.append(1000, 0)
	p := r.wantRead("a", 1)[1]
	for i := 0; i < 1000; i += 2 {
		r.done("a", p, i, i+1)
	}
	r.done("a", p, 10, 11) // once more
	r.wantBacklog("a", 1, 500)
	c, err := r.Cursor("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []engine.Selection{engine.SelectRange(0, 501), engine.SelectRange(999, 1001), engine.SelectList([]uint32{1, 5000})} {
		if err := c.Done([]engine.Part{{Pos: p.Pos, Records: s}}); err == nil {
			t.Errorf("%d records from %d on are taken", s.Len(), s.At(0))
		}
	}
	r.wantBacklog("a", 1, 500)
	if content, err := (&checkpoint{Cursors: []savedCursor{r.cursors[0].save()}}).encode(); err != nil || len(content) > 1000 {
		t.Errorf("%d bytes: %v", len(content), err)
	}
	r.restart()
	r.wantBacklog("a", 1, 500)
	p = r.wantRead("a", 1)[1]
	if n := p.Records.Len(); n != 500 || p.Records.At(0) != 1 || p.Records.At(499) != 999 {
		t.Errorf("%d records, from %d to %d", n, p.Records.At(0), p.Records.At(n-1))
	}
	c, err = r.Cursor("a")
	if err == nil {
		err = c.Done([]engine.Part{p})
	}
	if err != nil {
		t.Error(err)
	}
	r.wantBacklog("a", 0, 0)
	r.close()
}
