package seglog_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// BenchmarkAppend has producers append payloads, each one waiting until its last is committed, on a real directory. What a segment
// holds is freed as it ends, so that files are used again. B/commit is what one write and one sync took.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10, 1 << 20} {
		for _, producers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, producers), func(b *testing.B) { benchmarkAppend(b, size, producers) })
		}
	}
}

func benchmarkAppend(b *testing.B, size, producers int) {
	commits := 0
	var log *seglog.Log
	o := seglog.Options{Dir: b.TempDir(), Committed: func(es []*seglog.Entry) {
		commits++
		if n := es[len(es)-1].Place.Segment; n > 1 {
			if err := log.Free(n - 1); err != nil {
				b.Error(err)
			}
		}
		for _, e := range es {
			e.Owner.(chan struct{}) <- struct{}{} //nolint:forcetypeassert // it is ours
		}
	}}
	log, _, err := seglog.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			b.Error(err)
		}
	}()
	produce(b, log, size, producers, 3*64<<20/size) // segments are there to be used again
	commits = 0
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	produce(b, log, size, producers, b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)*float64(size)/float64(commits), "B/commit")
}

func produce(b *testing.B, log *seglog.Log, size, producers, n int) {
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			done := make(chan struct{}, 1)
			label := seglog.Label{Readers: 1, Records: 1, Bytes: uint32(size)}
			e := &seglog.Entry{Label: label, Head: make([]byte, 60), Body: make([]byte, size-60), Owner: done}
			for i := p; i < n; i += producers {
				if err := log.Append(e); err != nil {
					b.Error(err)
					return
				}
				<-done
			}
		})
	}
	wg.Wait()
}

// BenchmarkDisk is the same without a log: a write and a sync of so much at a time, over a file that is there, again and again.
func BenchmarkDisk(b *testing.B) {
	const fileSize = 64 << 20
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			files := seglog.OS()
			f, err := files.Create(filepath.Join(b.TempDir(), "f"))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			p := make([]byte, size)
			at := int64(0)
			write := func() {
				if at+int64(size) > fileSize {
					at = 0
				}
				if _, err := f.WriteAt(p, at); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				at += int64(size)
			}
			for range fileSize / size {
				write()
			}
			b.SetBytes(int64(size))
			b.ResetTimer()
			for range b.N {
				write()
			}
		})
	}
}
