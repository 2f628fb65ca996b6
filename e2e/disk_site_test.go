package e2e

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/server"
)

// A diskSite is a gateway on a disk buffer, which is stopped or crashes, and comes back on the same disk. All goes to one
// destination where the test does not say otherwise.
type diskSite struct {
	*gateway
	t       testing.TB
	net     *network
	out     *destination
	disk    disk.Options
	fs      *crashfs.FS
	hold    *holdUp
	options func() engine.Options // of each gateway
	logged  safeLog
}

// newDiskSite makes a site without a gateway.
func newDiskSite(t testing.TB) *diskSite {
	s := &diskSite{t: t, net: &network{}, out: &destination{}, fs: crashfs.New(), hold: &holdUp{}}
	s.disk = disk.Options{Dir: "/buffer", SegmentSize: 64 << 10, Room: 8 << 20}
	s.options = func() engine.Options { return engine.Options{Outputs: []engine.OutputOptions{keyed("out", s.out)}} }
	t.Cleanup(s.hold.end)
	return s
}

// run starts a gateway on what is on the disk.
func (s *diskSite) run() {
	s.t.Helper()
	o := s.options()
	o.Limits.GatherBytes, o.Limits.MaxAppend = 16<<10, 16<<10 // a segment has room for four of them
	o.Log = slog.New(slog.NewTextHandler(&s.logged, nil))
	for i := range o.Outputs {
		if o.Outputs[i].Share == 0 {
			o.Outputs[i].Share = s.disk.Room
		}
	}
	o.NewBuffer = func(outputs []engine.BufferOutput) (engine.Buffer, error) {
		d := s.disk
		d.FS, d.Log = holdingFS{s.fs, s.hold}, o.Log
		return disk.Open(d, outputs)
	}
	s.gateway = start(s.t, s.net.listen("gateway"), o, server.Options{})
	synctest.Wait() // it serves: one that is stopped before has failed
}

// halt stops the gateway: it drains for so long. What it keeps is given by output.
func (s *diskSite) halt(grace time.Duration) (kept map[string]int64) {
	s.t.Helper()
	s.over = true
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = s.drain(ctx)
	hard, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	left, err := s.engine.Close(hard)
	if err := errors.Join(err, s.server.Stop(hard), s.admin.Stop(hard)); err != nil {
		s.t.Errorf("halt: %v", err)
	}
	s.serving.Wait()
	kept = map[string]int64{}
	for _, u := range left {
		if kept[u.Output] += u.Records; !u.Kept {
			s.t.Errorf("not stored: %+v of %+v", u, u.Stream)
		}
	}
	return kept
}

// crash ends the gateway, with what becomes of the disk then: that of a process that was killed, or of a machine that stopped.
func (s *diskSite) crash(then func(*crashfs.FS) *crashfs.FS) {
	s.t.Helper()
	s.over = true
	after := then(s.fs)
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.server.Stop(now)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := s.engine.Close(ctx); !errors.Is(err, crashfs.ErrCrashed) && !errors.Is(err, crashfs.ErrKilled) && err != nil {
		s.t.Error(err)
	}
	if err := s.admin.Stop(ctx); err != nil {
		s.t.Error(err)
	}
	s.serving.Wait()
	s.fs = after
}

// fails makes operations of these kinds fail, until it is called with none.
func (s *diskSite) fails(err error, kinds ...crashfs.Kind) {
	if len(kinds) == 0 {
		s.fs.Inject(nil)
		return
	}
	s.fs.Inject(func(op crashfs.Op) crashfs.Fault {
		if slices.Contains(kinds, op.Kind) {
			return crashfs.Fault{Err: err}
		}
		return crashfs.Fault{}
	})
}

// isFull makes the disk full, as far as it is written to where nothing was before.
func (s *diskSite) isFull() { s.fails(syscall.ENOSPC, crashfs.Create, crashfs.Allocate, crashfs.Write) }

// wantLogged checks that these words are in the log, one after the other.
func (s *diskSite) wantLogged(words ...string) {
	s.t.Helper()
	rest := s.logged.String()
	for _, w := range words {
		_, after, found := strings.Cut(rest, w)
		if !found {
			s.t.Errorf("%q is not logged, or out of turn:\n%s", w, s.logged.String())
			return
		}
		rest = after
	}
}

// refusesAll is what a destination that is down answers.
func refusesAll(context.Context, *engine.Batch) error { return errors.New("not now") }

// A safeLog may be written to and read by several goroutines.
type safeLog struct {
	mu  sync.Mutex // guards what follows
	buf bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// A holdUp holds syncs up from begin to end.
type holdUp struct {
	mu   sync.Mutex // guards what follows
	over chan struct{}
}

func (h *holdUp) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = make(chan struct{})
}

func (h *holdUp) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over != nil {
		close(h.over)
		h.over = nil
	}
}

func (h *holdUp) wait() {
	h.mu.Lock()
	over := h.over
	h.mu.Unlock()
	if over != nil {
		<-over
	}
}

// A holdingFS is a file system whose syncs can be held up.
type holdingFS struct {
	seglog.FS
	hold *holdUp
}

func (f holdingFS) Create(name string) (seglog.File, error) { return f.given(f.FS.Create(name)) }

func (f holdingFS) Open(name string) (seglog.File, error) { return f.given(f.FS.Open(name)) }

func (f holdingFS) given(file seglog.File, err error) (seglog.File, error) {
	if err != nil {
		return nil, err
	}
	return holdingFile{file, f.hold}, nil
}

type holdingFile struct {
	seglog.File
	hold *holdUp
}

func (f holdingFile) Sync() error {
	f.hold.wait()
	return f.File.Sync()
}
