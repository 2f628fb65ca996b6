package cloudwatch

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/sluicelog/sluice/engine"
)

// A capture keeps the requests that a test's output sends, and takes them all.
type capture struct {
	mu       sync.Mutex // guards what follows
	headers  []http.Header
	requests [][]byte
}

func (c *capture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = append(c.headers, r.Header)
	c.requests = append(c.requests, body)
	w.Header().Set("x-amzn-RequestId", "id")
	_, _ = io.WriteString(w, "{}")
}

// sent is the body, and the headers, of what an output with these options sends of a batch.
func sent(t testing.TB, o Options, batch func(o *Output) *engine.Batch) ([]byte, http.Header) {
	t.Helper()
	c := &capture{}
	out := handled(t, c.ServeHTTP, o)
	must(t, out.Write(t.Context(), batch(out)))
	if len(c.requests) != 1 {
		t.Fatalf("%d requests", len(c.requests))
	}
	return c.requests[0], c.headers[0]
}

func texts() []string {
	return []string{
		"plain", `"quoted" \ <html> & 'more'`, "\x00\x01\b\f\n\r\t\x1f", "é € 😀", strings.Repeat("long ", 1000), "]}", "\ufffd",
	}
}

// Our body is the SDK's own, byte by byte, but for the separators and the DEL that it escapes without need.
func TestBodyIsTheSDKs(t *testing.T) {
	now := time.Now()
	batch := func(separators string) func(o *Output) *engine.Batch {
		return func(o *Output) *engine.Batch {
			var records [][]byte
			for i, text := range append(texts(), separators) {
				records = append(records, record(now.Add(-time.Duration(i)*time.Second), text))
			}
			return batchOf(o, chunkOf(records...))
		}
	}
	ours, ourHeader := sent(t, Options{}, batch("x"))
	theirs, theirHeader := sent(t, Options{PlainSDK: true}, batch("x"))
	if !bytes.Equal(ours, theirs) {
		t.Errorf("ours   %q\ntheirs %q", ours, theirs)
	}
	for _, name := range []string{"Content-Type", "X-Amz-Target", "Content-Length", "Content-Encoding"} {
		if a, b := ourHeader.Get(name), theirHeader.Get(name); a != b {
			t.Errorf("%s: %q, the SDK sends %q", name, a, b)
		}
	}
	ours, _ = sent(t, Options{}, batch("\u2028\u2029\x7f"))
	theirs, _ = sent(t, Options{PlainSDK: true}, batch("\u2028\u2029\x7f"))
	if a, b := decoded(t, ours), decoded(t, theirs); a != b {
		t.Errorf("ours reads  %s\ntheirs reads %s", a, b)
	}
}

func decoded(t testing.TB, body []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	again, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(again)
}

func TestGzipIsTheSame(t *testing.T) {
	now := time.Now()
	batch := func(o *Output) *engine.Batch {
		var records [][]byte
		for _, text := range texts() {
			records = append(records, record(now, text))
		}
		return batchOf(o, chunkOf(records...))
	}
	plain, _ := sent(t, Options{}, batch)
	zipped, header := sent(t, Options{Gzip: true}, batch)
	if header.Get("Content-Encoding") != "gzip" || !strings.Contains(header.Get("Authorization"), "content-encoding") {
		t.Errorf("encoding %q, signed: %s", header.Get("Content-Encoding"), header.Get("Authorization"))
	}
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	must(t, err)
	back, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(back, plain) || len(zipped) > len(plain)/2 {
		t.Errorf("%d bytes unzip to %d, want %d: %v", len(zipped), len(back), len(plain), err)
	}
}

// A payload is used again by other requests, in which nothing of this one is left.
func TestPayloadsAreUsedAgain(t *testing.T) {
	for _, zip := range []bool{false, true} {
		var put putRequest
		out := handled(t, func(w http.ResponseWriter, r *http.Request) {
			put = putRequest{}
			if err := readPut(r, &put); err != nil {
				t.Error(err)
			}
			w.Header().Set("x-amzn-RequestId", "id")
		}, Options{Gzip: zip})
		for i := range 20 {
			want := texts()[:1+i%7]
			must(t, out.Write(t.Context(), bodies(out, want...)))
			var got []string
			for _, e := range put.LogEvents {
				got = append(got, e.Message)
			}
			if strings.Join(got, "|") != strings.Join(want, "|") || put.LogGroupName != testGroup || put.LogStreamName != testStream {
				t.Fatalf("%q, want %q in %+v", got, want, put)
			}
		}
	}
}

func FuzzBody(f *testing.F) {
	for _, text := range texts() {
		f.Add(text, "group", "stream", int64(1_700_000_000_000))
	}
	f.Add("\xff\xc3", "\xff", "s*:", int64(-1))
	f.Fuzz(func(t *testing.T, text, group, stream string, at int64) {
		body := appendBody([]byte("x"), target{group: group, stream: stream}, []event{{at: at, text: []byte(text)}, {text: []byte("x")}})[1:]
		want, err := json.Marshal(map[string]any{
			"logEvents":    []any{map[string]any{"message": text, "timestamp": at}, map[string]any{"message": "x", "timestamp": 0}},
			"logGroupName": group, "logStreamName": stream,
		})
		must(t, err)
		var ours, theirs any
		if err := unmarshal(body, &ours); err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		must(t, unmarshal(want, &theirs))
		a, _ := json.Marshal(ours)
		b, _ := json.Marshal(theirs)
		if !bytes.Equal(a, b) {
			t.Errorf("ours %s\nwant %s", a, b)
		}
	})
}

// unmarshal keeps numbers as they are written.
func unmarshal(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return d.Decode(into)
}
