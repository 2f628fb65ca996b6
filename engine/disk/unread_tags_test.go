package disk

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

// An output that begins with the oldest goes by tags, and waits for what the disk does not give at the moment: it passes nothing over.
func TestOldestWaitsForTheDisk(t *testing.T) {
	inSick(t, 30, func(s *sick) {
		s.close()
		s.openFor(engine.BufferOutput{Name: "a"}, engine.BufferOutput{Name: "b"}, engine.BufferOutput{Name: "new", StartOldest: true})
		s.pages = map[int64]bool{2: true}
		if _, _, ok := s.cursor("new").Next(); ok {
			t.Error("something was read")
		}
		clear(s.pages)
		if chunks, _ := s.read("new", time.Minute); len(chunks) != 30 {
			t.Errorf("reads %v", chunks)
		}
	})
}

// Neither does one that has lost its checkpoint, at the start: what it has yet to read is not freed.
func TestWithoutACheckpointTheDiskIsWaitedFor(t *testing.T) {
	inSick(t, 0, func(s *sick) {
		for range 30 {
			s.appendTo(2)
		}
		s.close()
		if err := s.fs.Remove("d/" + checkpointFile); err != nil {
			t.Fatal(err)
		}
		s.pages = map[int64]bool{2: true}
		s.openFor(engine.BufferOutput{Name: "b"}) // its bit is another one now
		clear(s.pages)
		chunks, parts := s.read("b", time.Minute)
		if len(chunks) != 30 {
			t.Errorf("reads %v", chunks)
		}
		s.done("b", parts)
	})
}

// What cannot be told to be for an output is not given to it: it waits until its tag can be read.
func TestUnreadTagsAreWaitedFor(t *testing.T) {
	inSick(t, 30, func(s *sick) {
		s.close()
		other := func(tag string) bool { return tag != "t" }
		s.openFor(engine.BufferOutput{Name: "a"}, engine.BufferOutput{Name: "b"}, engine.BufferOutput{Name: "x", StartOldest: true, Takes: other})
		failed := false
		s.fs.Inject(func(op crashfs.Op) crashfs.Fault { // once, behind a header that can be read
			if op.Kind != crashfs.Read || op.Size != headRoom || failed {
				return crashfs.Fault{}
			}
			failed = true
			return crashfs.Fault{Err: syscall.EIO}
		})
		if chunks, _ := s.read("x", 20*time.Minute); len(chunks) > 0 || !failed || s.isFailing() {
			t.Errorf("reads %v; failed %t, and failing %v", chunks, failed, s.Failing())
		}
	})
}

// A tag that the disk never gives is waited for as long as anything else, and holds up nobody any longer.
func TestTagsThatAreNeverGiven(t *testing.T) {
	inSick(t, 30, func(s *sick) {
		s.close()
		s.openFor(engine.BufferOutput{Name: "a"}, engine.BufferOutput{Name: "b"}, engine.BufferOutput{Name: "new", StartOldest: true})
		s.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Read && op.Size >= headRoom && strings.HasSuffix(op.Name, "1.seg") { // headers are given
				return crashfs.Fault{Err: syscall.EIO}
			}
			return crashfs.Fault{}
		})
		if chunks, _ := s.read("new", 9*time.Minute); len(chunks) > 0 || !s.isFailing() {
			t.Errorf("reads %v, and failing %v", chunks, s.Failing())
		}
		chunks, parts := s.read("new", 5*time.Minute)
		if s.done("new", parts); len(chunks) < 20 || s.isFailing() || s.cursor("new").Backlog().Chunks != 0 {
			t.Errorf("reads %v, and failing %v, with %+v to come", chunks, s.Failing(), s.cursor("new").Backlog())
		}
	})
}
