package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

// A producer is a process with a stream that has a spill, and the disk that it is on.
type producer struct {
	*sluice.Stream
	disk *crashfs.FS
	end  context.CancelFunc
}

// produce starts a producer.
func produce(t testing.TB, d *crashfs.FS, g *gateway, opts sluice.StreamOptions) *producer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	opts.ID, opts.Tag = "s", orElse(opts.Tag, "test.stream")
	var spill sluice.SpillOptions
	if opts.Spill != nil {
		spill = *opts.Spill
	}
	opts.Spill = sluice.SpillOn(d, spill)
	s, err := newClient(t, g).Stream(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	return &producer{Stream: s, disk: d, end: cancel}
}

func orElse(v, other string) string {
	if v == "" {
		return other
	}
	return v
}

// kill ends the process as kill -9 does, and gives the disk as the next one finds it.
func (p *producer) kill() *crashfs.FS {
	d := p.disk.Kill()
	p.end()
	<-p.Done()
	return d
}

// segments gives the names of the files with records.
func segments(d *crashfs.FS) (names []string) {
	for _, name := range d.Files() {
		if filepath.Ext(name) == ".spill" {
			names = append(names, name)
		}
	}
	return names
}

// wantOpens checks with which epochs and lowest sequences the gateway was opened; epochs are given by their order.
func wantOpens(t testing.TB, g *gateway, want ...string) {
	t.Helper()
	var got []string
	var epochs []uint64
	g.saw(func() {
		for _, o := range g.opens {
			if n := len(epochs); n == 0 || epochs[n-1] != o.GetEpoch() {
				if n > 0 && epochs[n-1] > o.GetEpoch() {
					t.Errorf("epoch %d after %d", o.GetEpoch(), epochs[n-1])
				}
				epochs = append(epochs, o.GetEpoch())
			}
			got = append(got, fmt.Sprintf("%d:%d", len(epochs), o.GetFirstSequence()))
		}
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("opened with (-want +got):\n%s", diff)
	}
}

func TestSpillTakesWhatTheQueueHasNoRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.paused = true
		d := crashfs.New()
		s := produce(t, d, g, sluice.StreamOptions{QueueRecords: 5, BatchRecords: 4})
		settle(time.Second)
		log(t, s.Stream, 1, 100)
		settle(time.Second)
		if st := s.Stats(); st.Spill.Records != 95 || st.QueuedRecords != 100 || st.Spill.Bytes == 0 {
			t.Errorf("stats %+v", st)
		}
		g.set(func() { g.paused = false })
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantTaken(t, g, "s", numbers(1, 100), 0)
		log(t, s.Stream, 101, 103)
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 103), 0)
		if st := s.Stats(); st.Acked != 103 || st.Added != 103 || st.QueuedRecords != 0 || st.QueuedBytes != 0 ||
			st.Spill != (sluice.SpillStats{}) {
			t.Errorf("stats %+v", st)
		}
		if names := segments(d); names != nil || d.Opened() != 0 {
			t.Errorf("left behind: %q, %d open", names, d.Opened())
		}
		wantOpens(t, g, "1:1")
	})
}

func TestSpillIsFencedAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.hold = true
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{})
		log(t, s.Stream, 1, 5)
		settle(time.Second)
		g.set(func() { g.paused = true })
		synctest.Wait()
		log(t, s.Stream, 6, 8)
		g.cut(status.Error(codes.Aborted, "a newer epoch"))
		<-s.Done()
		if err := s.Log(t.Context(), "x"); !errors.Is(err, sluice.ErrFenced) {
			t.Errorf("Log: %v", err)
		}
		report, err := s.Close(t.Context())
		if err != nil || report.Kept != 8 || report.Lost() != 0 {
			t.Errorf("Close: %+v, %v", report, err)
		}
		g.set(func() { g.hold, g.paused = false, false })
		s = produce(t, s.disk, g, sluice.StreamOptions{})
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 8), 0)
	})
}

func TestCloseKeepsWhatIsNotAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{BatchRecords: 4, QueueRecords: 3})
		log(t, s.Stream, 1, 4)
		settle(time.Second)
		g.set(func() { g.hold = true })
		log(t, s.Stream, 5, 8)
		settle(time.Second)
		g.set(func() { g.paused = true })
		synctest.Wait()
		log(t, s.Stream, 9, 20)
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			report, err := s.Close(ctx)
			cancel()
			if err != nil || report.Kept != 16 || report.Lost() != 0 || report.Unacked != 0 || report.Unsent != 0 {
				t.Errorf("Close: %+v, %v", report, err)
			}
			for seq, r := range report.Records() {
				t.Errorf("reported: %d %v", seq, r)
			}
		}
		if st := s.Stats(); st.Dropped.Total() != 0 || s.disk.Opened() != 0 {
			t.Errorf("stats %+v, %d files open", st, s.disk.Opened())
		}
		g.set(func() { g.hold, g.paused = false, false })
		s = produce(t, s.disk, g, sluice.StreamOptions{})
		if st := s.Stats(); st.Spill.Resumed != 16 {
			t.Errorf("stats %+v", st)
		}
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 20), 0)
	})
}

func TestSpillOptions(t *testing.T) {
	client := newClient(t, newGateway(t))
	dir := t.TempDir()
	for _, tt := range []struct {
		opts sluice.StreamOptions
		want string
	}{
		{sluice.StreamOptions{Spill: &sluice.SpillOptions{Path: dir}}, "no ID, which Spill needs"},
		{sluice.StreamOptions{ID: "s", Spill: &sluice.SpillOptions{}}, "Spill.Path is empty"},
		{sluice.StreamOptions{ID: "s", Spill: &sluice.SpillOptions{Path: dir, MaxBytes: 1000}}, "less than 64 KiB"},
		{sluice.StreamOptions{ID: "s", Spill: &sluice.SpillOptions{Path: dir, Sync: 7}}, "Spill.Sync is no policy"},
		{sluice.StreamOptions{ID: "s", Spill: &sluice.SpillOptions{Path: dir + "\x00"}}, "open spill"},
		{sluice.StreamOptions{ID: "s", Spill: &sluice.SpillOptions{Path: dir}, Resource: sluice.NewResource(
			slog.String("too much", strings.Repeat("x", 100_000)))}, "at most"},
	} {
		tt.opts.Tag = "test"
		if _, err := client.Stream(t.Context(), tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

// One directory, one stream: in this process too. A stream that ended, or was not begun, does not keep it.
func TestSpillHasOneStream(t *testing.T) {
	g := newGateway(t)
	client := newClient(t, g)
	opts := sluice.StreamOptions{ID: "s", Tag: "test", Spill: &sluice.SpillOptions{Path: filepath.Join(t.TempDir(), "a", "b")}}
	for range 2 {
		s, err := client.Stream(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Stream(t.Context(), opts); !errors.Is(err, sluice.ErrSpillLocked) {
			t.Errorf("second stream: %v", err)
		}
		log(t, s, 1, 2)
		closeClean(t, s)
	}
	closed := newClient(t, g)
	if err := closed.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := closed.Stream(t.Context(), opts); !errors.Is(err, sluice.ErrClosed) {
		t.Errorf("stream of a closed client: %v", err)
	}
	s, err := client.Stream(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	closeClean(t, s)
}

// Records of one goroutine keep their order, however many add.
func TestSpillOfManyGoroutines(t *testing.T) {
	g := newGateway(t)
	s, err := newClient(t, g).Stream(t.Context(), sluice.StreamOptions{
		ID: "s", Tag: "test", QueueRecords: 100, Spill: &sluice.SpillOptions{Path: t.TempDir(), MaxBytes: 1 << 20, Sync: sluice.SyncAlways},
	})
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 16)
	for who := range 16 {
		go func() {
			var err error
			for i := range 50 {
				err = errors.Join(err, s.Log(context.Background(), fmt.Sprintf("%d %d", who, i)))
			}
			failed <- err
		}()
	}
	for range 16 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	closeClean(t, s)
	taken, dup := g.taken("s")
	next := map[string]int{}
	for _, r := range taken {
		who, n, _ := strings.Cut(r, " ")
		if n != strconv.Itoa(next[who]) {
			t.Errorf("%s after %d", r, next[who])
		}
		next[who]++
	}
	if len(taken) != 16*50 || dup != 0 {
		t.Errorf("%d taken, %d twice", len(taken), dup)
	}
}
