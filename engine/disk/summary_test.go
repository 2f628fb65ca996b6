package disk

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

// recovered opens a directory with the buffer's options, says what is in it, and closes it again.
func (r *restarting) recovered(dir string) *Summary {
	r.t.Helper()
	o := r.options
	o.Dir = dir
	var outputs []engine.BufferOutput
	for _, name := range r.outputs {
		outputs = append(outputs, engine.BufferOutput{Name: name})
	}
	b, err := Open(o, outputs)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		r.t.Fatal(err)
	}
	return b.Found()
}

// asIs copies the directory, as a crash would leave it.
func (r *restarting) asIs() (dir string) {
	r.t.Helper()
	dir = filepath.Join(r.t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(r.options.Dir)); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

// What a start finds is told: what is there, for whom, and what the last checkpoint did not know.
func TestSummary(t *testing.T) {
	r := newRestarting(t, "a", "b")
	if s := r.recovered(t.TempDir()); !s.Empty() || !s.Checkpoint.IsZero() {
		t.Errorf("of an empty directory: %+v", s)
	}
	r.append(3, 0, 1)
	r.append(2, 1)
	stopped := r.asIs()
	s := r.recovered(stopped)
	if s.Behind != 2 || s.Unsynced != 0 || s.Checkpoint.IsZero() {
		t.Errorf("after a crash: %+v", s)
	}
	at := r.wantRead("a", 1)
	r.done("a", at[1], 0, 1)
	r.close()

	s = r.recovered(r.asIs())
	records := func(o OutputSummary) int64 { return o.Records }
	if s.Behind != 0 || s.Empty() || s.Segments != 1 || s.Stored <= 0 || s.Streams != 1 || len(s.Outputs) != 2 ||
		!slices.Equal([]int64{2, 5}, []int64{records(s.Outputs[0]), records(s.Outputs[1])}) || s.Outputs[1].Bytes <= 0 {
		t.Errorf("after a stop: %+v", s)
	}

	r.open()
	r.append(1, 0)
	r.append(1, 0)
	r.close() // its checkpoint is on the disk, and what it stored is not
	replaceFile(t, filepath.Join(r.options.Dir, checkpointFile), filepath.Join(stopped, checkpointFile))
	if s = r.recovered(stopped); s.Unsynced != 2 || s.Behind != 0 {
		t.Errorf("after the machine stopped: %+v", s)
	}
}

func replaceFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What is kept for an output that is not configured is told with its name, and the room that it takes alone is told apart.
func TestAbsent(t *testing.T) {
	r := newRestarting(t, "a", "b")
	r.options.Room = 1 << 20
	r.restart()
	const chunks = 100
	for range chunks {
		r.append(50, 0, 1)
	}
	if absent, stored := r.Absent(); len(absent) > 0 || stored > 0 {
		t.Errorf("where all are configured: %+v, %d bytes", absent, stored)
	}
	r.outputs = []string{"a"}
	r.restart()
	absent, stored := r.Absent()
	if len(absent) != 1 || absent[0].Output != "b" || absent[0].Records != 50*chunks || absent[0].Bytes <= 0 || stored != 0 {
		t.Errorf("%+v, %d bytes, which a needs, too", absent, stored)
	}
	before, room := r.Storage()
	firsts, at := r.read("a")
	for _, first := range firsts {
		r.done("a", at[first], 0, 50)
	}
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	absent, stored = r.Absent()
	if used, left := r.Storage(); len(absent) != 1 || stored <= 0 || used+stored != before || left+stored != room {
		t.Errorf("%+v, %d bytes; %d of %d are used, and were %d of %d", absent, stored, used, left, before, room)
	}
	r.close()
}

// dieBlind kills the process and has the disk not give the end of the log to the next one, which is opened for these outputs.
func (s *sick) dieBlind(outputs ...engine.BufferOutput) {
	s.t.Helper()
	before := s.Buffer
	segments := before.log.Segments()
	newest := segments[len(segments)-1]
	s.fs = s.fs.Kill()
	_ = before.Close() // on the disk that nobody has any more
	s.fs.Inject(func(op crashfs.Op) crashfs.Fault {
		if page := newest.End / 4096; op.Kind == crashfs.Read && op.Name == newest.Name && op.Offset < (page+1)*4096 && page*4096 < op.Offset+op.Size {
			return crashfs.Fault{Err: syscall.EIO}
		}
		return crashfs.Fault{}
	})
	s.openFor(outputs...)
}

// Where the end of the log may lie is a guess as long as the disk does not give it: nobody is told that what was guessed is lost.
func TestAGuessIsNoLoss(t *testing.T) {
	inSick(t, 8, func(s *sick) {
		s.dieBlind(engine.BufferOutput{Name: "a"}, engine.BufferOutput{Name: "b"})
		s.fs.Inject(nil)
		s.close()
		s.open()
		if n := s.Found().Unsynced; n > 0 {
			t.Errorf("%d chunks are told to be lost with the machine, though none is", n)
		}
	})
}

// What is kept for an output that is gone is told, also where the disk does not say what it is.
func TestWhatIsKeptInTheDarkIsTold(t *testing.T) {
	inSick(t, 8, func(s *sick) {
		for _, o := range []string{"a", "b"} {
			_, parts := s.read(o, 0)
			s.done(o, parts)
		}
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
		s.dieBlind(engine.BufferOutput{Name: "a"}) // b is taken out of the config
		for range 10 {
			s.appendTo(1)
		}
		_, parts := s.read("a", 30*time.Minute)
		s.done("a", parts)
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
		if told, kept := s.Absent(); kept == 0 || len(told) != 1 || told[0].Output != "b" {
			t.Errorf("%d bytes are kept for outputs that are gone, told are %v", kept, told)
		}
		s.fs.Inject(nil)
	})
}
