package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/server"
)

// A producer is killed over and over while its gateway, on memory, holds what it cannot deliver, is paused, and takes
// things up again. The process that comes after finds the spill as it lay at that moment.
func TestProducerWithASpillIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, engine.Limits{Stream: 64 << 10}, server.Options{})
		dir := filepath.Join(t.TempDir(), "spill0")
		all := padded(2000, 500)
		s.out.will(takes(200 * time.Millisecond))
		for i, part := range slices.Collect(slices.Chunk(all, 100)) {
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := s.net.client(t, "gateway").Stream(ctx, sluice.StreamOptions{
				ID: "s", Tag: "app", QueueRecords: 50, Spill: &sluice.SpillOptions{Path: dir, MaxBytes: 4 << 20},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, body := range part {
				if err := stream.Log(t.Context(), body); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Duration(i%5) * 100 * time.Millisecond)
			next := filepath.Join(t.TempDir(), "spill")
			synctest.Wait() // or a file may go while the directory is read
			if err := os.CopyFS(next, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			dir = next
			cancel()
			<-stream.Done()
		}
		a := s.net.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "app", Spill: &sluice.SpillOptions{Path: dir}})
		a.exit()
		s.stop()
		wantBodies(t, s.out, "s", all)
		t.Logf("%+v", a.Stats())
	})
}
