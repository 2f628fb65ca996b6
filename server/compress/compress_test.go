package compress

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/encoding"
)

func compressors(t testing.TB) map[string]encoding.Compressor {
	t.Helper()
	if err := Register(); err != nil {
		t.Fatal(err)
	}
	if err := Register(); err != nil {
		t.Fatal(err)
	}
	all := map[string]encoding.Compressor{}
	for _, name := range []string{"gzip", S2, Zstd} {
		if all[name] = encoding.GetCompressor(name); all[name] == nil {
			t.Fatalf("no compressor %q", name)
		}
	}
	return all
}

func pack(t testing.TB, c encoding.Compressor, b []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := c.Compress(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// unpack reads up to limit bytes, as grpc does.
func unpack(c encoding.Compressor, packed []byte, limit int64) ([]byte, error) {
	r, err := c.Decompress(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, limit))
	if closer, ok := r.(io.Closer); ok {
		_ = closer.Close()
	}
	return b, err
}

func TestRoundTrip(t *testing.T) {
	for name, c := range compressors(t) {
		t.Run(name, func(t *testing.T) {
			var callers sync.WaitGroup
			for i := range 8 {
				callers.Go(func() {
					for _, n := range []int{0, 1, 100, 70_000, 3 << 20} {
						want := []byte(strings.Repeat(string(rune('a'+i))+"bcdefg", n/7+1)[:n])
						packed := pack(t, c, want)
						if n > 1000 && len(packed) > n/10 {
							t.Errorf("%d bytes packed to %d", n, len(packed))
						}
						if got, err := unpack(c, packed, 4<<20); err != nil || !bytes.Equal(got, want) {
							t.Errorf("%d bytes came back as %d, %v", n, len(got), err)
						}
					}
				})
			}
			callers.Wait()
		})
	}
}

// What cannot be unpacked is an error, and the reader that failed serves the next message all the same.
func TestMalformed(t *testing.T) {
	for name, c := range compressors(t) {
		t.Run(name, func(t *testing.T) {
			good := pack(t, c, []byte(strings.Repeat("good ", 10_000)))
			for _, bad := range [][]byte{{}, []byte("not packed"), good[:len(good)/2], append([]byte{0}, good...)} {
				if b, err := unpack(c, bad, 1<<20); err == nil && len(bad) > 0 {
					t.Errorf("unpacked %d bytes from %d", len(b), len(bad))
				}
				if b, err := unpack(c, good, 1<<20); err != nil || len(b) != 50_000 {
					t.Fatalf("afterwards: %d bytes, %v", len(b), err)
				}
			}
		})
	}
}

// However much a message holds, unpacking a part of it takes memory for that part and a window.
func TestBomb(t *testing.T) {
	for name, c := range compressors(t) {
		t.Run(name, func(t *testing.T) {
			bomb := pack(t, c, make([]byte, 48<<20))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if b, err := unpack(c, bomb, 1<<20); err != nil || len(b) != 1<<20 {
				t.Errorf("got %d bytes, %v", len(b), err)
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 24<<20 {
				t.Errorf("took %d bytes for 1 MiB", took)
			}
		})
	}
}

// A zstd frame that says it holds gigabytes in one piece gets no memory for its word.
func TestZstdClaim(t *testing.T) {
	c := compressors(t)[Zstd]
	claim := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0} // one segment of 4 GiB
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := unpack(c, claim, 1<<20); err == nil {
		t.Error("was taken")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("took %d bytes", took)
	}
}
