package deadletter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// record makes what a Write is handed of a letter.
func record(l engine.Letter) engine.BatchRecord {
	return engine.BatchRecord{
		Record: l.Record, Sequence: l.Sequence, Dead: &l.DeadLetter,
		Chunk: &engine.Chunk{
			Stream: &engine.Stream{Tenant: l.Tenant, ID: l.StreamID, Tag: l.Tag},
			Epoch:  l.Epoch, Resource: l.Resource, Scope: l.Scope, Arrived: l.Arrived,
		},
	}
}

func full() engine.Letter {
	return engine.Letter{
		DeadLetter: engine.DeadLetter{
			Output: "aws", Target: "/apps/shop:web-1", Reason: "too_old", Message: "older than 14 days", RequestID: "7f3-1", Attempts: 3,
			First: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Last: time.Date(2026, 1, 2, 3, 5, 0, 999_999_999, time.UTC),
		},
		Tenant: "default", StreamID: "s1", Tag: "shop.checkout", Epoch: 1_700_000_000_000_000_000, Sequence: 42,
		Arrived: time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC), Resource: enginetest.Resource("host.name", "h"),
		Scope: []byte{10, 1, 's'}, Record: engine.Record{Wire: enginetest.Record(42, "body", "k", "v")},
	}
}

// alike compares letters; bytes that are not there are like none.
func alike() cmp.Option { return cmpopts.EquateEmpty() }

func TestLetterRoundTrip(t *testing.T) {
	for name, change := range map[string]func(l *engine.Letter){
		"full":             func(*engine.Letter) {},
		"empty":            func(l *engine.Letter) { *l = engine.Letter{} },
		"nobody refused":   func(l *engine.Letter) { l.DeadLetter = engine.DeadLetter{} },
		"no record":        func(l *engine.Letter) { l.Record.Wire = nil },
		"greatest numbers": func(l *engine.Letter) { l.Epoch, l.Sequence, l.Attempts = math.MaxUint64, math.MaxUint64, math.MaxInt },
		"far times": func(l *engine.Letter) {
			l.First, l.Last = time.Date(-5000, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 999_999_999, time.UTC)
		},
		"long and odd": func(l *engine.Letter) { l.Message, l.Target = strings.Repeat("\x00\xff\n", 5000), "\xff/../" },
	} {
		want := full()
		change(&want)
		b := appendLetter([]byte("before"), record(want))
		var got engine.Letter
		if err := parseLetter(bytes.TrimPrefix(b, []byte("before")), &got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got, alike()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	r := record(full())
	r.Dead = nil
	var got engine.Letter
	if err := parseLetter(appendLetter(nil, r), &got); err != nil || got.DeadLetter != (engine.DeadLetter{}) || !got.First.IsZero() {
		t.Errorf("%v, %+v", err, got.DeadLetter)
	}
}

// Every cut through a letter, but one through its record, is no letter.
func TestLetterCutShort(t *testing.T) {
	want := full()
	b := appendLetter(nil, record(want))
	for n := range len(b) - len(want.Record.Wire) {
		var l engine.Letter
		if err := parseLetter(b[:n], &l); !errors.Is(err, errNoLetter) {
			t.Errorf("%d bytes of %d: %v", n, len(b), err)
		}
	}
	second := uint64(time.Second)
	for name, c := range map[string]struct {
		attempts, nanoseconds uint64
		want                  error
	}{
		"the most there are":      {math.MaxInt, second - 1, nil},
		"a second in nanoseconds": {1, second, errNoLetter},
		"attempts beyond all":     {math.MaxInt + 1, 0, errNoLetter},
	} {
		if err := parseLetter(strange(c.attempts, c.nanoseconds), &engine.Letter{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b[0]++
	if err := parseLetter(b, &engine.Letter{}); !errors.Is(err, errNoLetter) {
		t.Errorf("of another version: %v", err)
	}
}

// strange is an empty letter but for its attempts, and the nanoseconds of the first one.
func strange(attempts, nanoseconds uint64) []byte {
	b := binary.AppendUvarint([]byte{letterVersion, 0, 0, 0, 0, 0}, attempts)
	b = binary.AppendUvarint(append(b, 0), nanoseconds)
	return append(b, make([]byte, 2+2+3+2+2)...)
}

func drawLetter(t *rapid.T) engine.Letter {
	text := func(name string) string { return rapid.String().Draw(t, name) }
	when := func(name string) time.Time {
		seconds := rapid.Int64Range(-62135596800, 253402300799).Draw(t, name)
		return time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, name+" ns")).UTC()
	}
	wire := func(name string) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, name) }
	return engine.Letter{
		DeadLetter: engine.DeadLetter{
			Output: text("output"), Target: text("target"), Reason: text("reason"), Message: text("message"), RequestID: text("request"),
			Attempts: rapid.IntRange(0, math.MaxInt).Draw(t, "attempts"), First: when("first"), Last: when("last"),
		},
		Tenant: text("tenant"), StreamID: text("stream"), Tag: text("tag"), Epoch: rapid.Uint64().Draw(t, "epoch"),
		Sequence: rapid.Uint64Range(1, math.MaxUint64).Draw(t, "sequence"), Arrived: when("arrived"),
		Resource: wire("resource"), Scope: wire("scope"), Record: engine.Record{Wire: wire("record")},
	}
}

// What is written is what is read, whatever it is: of batches of several spans, before and after a restart.
func TestStoreRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Dir: "/letters", FS: crashfs.New()}
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		var mint enginetest.Mint
		var spans []engine.Span
		var chunks []*engine.Chunk
		want := rapid.SliceOfN(rapid.Custom(drawLetter), 1, 6).Draw(t, "letters")
		for i := range want {
			l := &want[i]
			l.ID = uint64(i + 1)
			stream := &engine.Stream{Tenant: l.Tenant, ID: l.StreamID, Tag: l.Tag}
			c := mint.ChunkOf(stream, l.Sequence, 1, l.Record.Wire)
			c.Epoch, c.Resource, c.Scope, c.Arrived = l.Epoch, l.Resource, l.Scope, l.Arrived
			spans = append(spans, engine.Span{Stream: stream, Records: engine.SelectRange(0, 1), Bytes: len(c.Data), Dead: &l.DeadLetter})
			chunks = append(chunks, c)
		}
		b := engine.NewBatch(spans...)
		b.Pin(chunks)
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for _, c := range chunks {
			c.Release()
		}
		for range 2 {
			var got []engine.Letter
			for l, err := range s.Letters(t.Context(), engine.LetterFilter{}) {
				if err != nil {
					t.Fatal(err)
				}
				copied := *l // what it points to is overwritten by the next one
				copied.Resource, copied.Scope, copied.Record.Wire = bytes.Clone(l.Resource), bytes.Clone(l.Scope), bytes.Clone(l.Record.Wire)
				got = append(got, copied)
			}
			if d := cmp.Diff(want, got, alike()); d != "" {
				t.Fatal(d)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(o); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// The parser takes any bytes without harm, and what it takes for a letter is one: it comes back as it is.
func FuzzLetter(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendLetter(nil, record(engine.Letter{})))
	b := appendLetter(nil, record(full()))
	f.Add(b)
	f.Add(b[:40])
	f.Add(append([]byte{letterVersion}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)) // a length beyond all
	f.Fuzz(func(t *testing.T, b []byte) {
		var l, again engine.Letter
		if err := parseLetter(b, &l); err != nil {
			if !errors.Is(err, errNoLetter) {
				t.Fatal(err)
			}
			return
		}
		whole := appendLetter(nil, record(l))
		if err := parseLetter(whole, &again); err != nil {
			t.Fatal(err)
		}
		if b := appendLetter(nil, record(again)); !bytes.Equal(b, whole) {
			t.Fatalf("%x, then %x", whole, b)
		}
	})
}
