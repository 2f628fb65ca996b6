package cwfake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// What is read by hand and what encoding/json reads must be the same, wherever the first says that it knows how.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{"logEvents":[{"message":"x","timestamp":1}],"logGroupName":"g","logStreamName":"s"}`,
		`{"logGroupName":"g\u00e4","logEvents":[{"timestamp":1,"message":"{\"a\":\"\\n\"}"},{"message":"","timestamp":0}]}`,
		" {\t\"logEvents\" : [ ] , \"sequenceToken\":\"t\"}\n",
		`{"logEvents":[{"message":"\ud83d\ude00 \ud800","timestamp":12345678901234567890}]}`,
		`{"logEvents":[{"message":"01234567\"01234567\u0001","timestamp":01}]}`,
		`{"logEvents":[{"message":"a","timestamp":1e3,"x":[1,{}]}],"entity":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var hand, other put
		s := scanner{text: text}
		if !utf8.Valid(text) || !s.put(&hand) {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q was taken for JSON", text)
		}
		if err := other.parseAny(text); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if hand.group != other.group || hand.stream != other.stream || len(hand.events) != len(other.events) {
			t.Fatalf("%q: %+v and %+v", text, hand, other)
		}
		for i, e := range hand.events {
			o := other.events[i]
			if e.at != o.at || !bytes.Equal(e.message, o.message) || e.timed != o.timed || e.named != o.named {
				t.Fatalf("%q: event %d: %+v and %+v", text, i, e, o)
			}
		}
	})
}

// Every place in a word, with every neighbour.
func TestSpecial(t *testing.T) {
	for _, c := range []byte{'"', '\\', 0, 0x1f, '\n'} {
		for at := range 20 {
			for _, fill := range []byte{' ', '!', '#', '[', ']', 'a', 0x7f, 0x80, 0xff} {
				b := bytes.Repeat([]byte{fill}, 20)
				if got := special(b); got != -1 {
					t.Fatalf("%q: got %d", b, got)
				}
				b[at] = c
				if got := special(b); got != at {
					t.Fatalf("%q: got %d, want %d", b, got, at)
				}
				if at > 0 {
					b[at-1] = c ^ 1 // what a borrow from the neighbour would look like
					if got, want := special(b), bytes.IndexAny(b[:at+1], "\"\\\x00\x01\x1e\x1f\n\x0b"); got != want {
						t.Fatalf("%q: got %d, want %d", b, got, want)
					}
				}
			}
		}
	}
}

// The shapes that SDKs write are read by hand: the fast path is taken.
func TestScanShapes(t *testing.T) {
	for _, text := range []string{
		`{"logEvents":[{"message":"a","timestamp":1},{"message":"b","timestamp":2}],"logGroupName":"g","logStreamName":"s"}`,
		`{"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "a"}, {"timestamp": 2, "message": "b"}]}`,
		`{"logEvents":[{"message":"\u0061","timestamp":1},{"message":"b","timestamp":2}],"logGroupName":"g","logStreamName":"s","sequenceToken":"t"}`,
	} {
		var p put
		s := scanner{text: []byte(text)}
		if !s.put(&p) {
			t.Errorf("%s is not read by hand", text)
		}
		var got []string
		for _, e := range p.events {
			got = append(got, strconv.FormatInt(e.at, 10)+string(e.message))
		}
		if diff := cmp.Diff([]string{"1a", "2b"}, got); diff != "" || p.group != "g" || p.stream != "s" {
			t.Error(diff)
		}
	}
}

// A bucket holds one second's tokens and fills evenly.
func TestBucket(t *testing.T) {
	var b bucket
	now := time.Unix(0, 0)
	for i := range 50 {
		if !b.take(now, 50) {
			t.Fatalf("token %d of 50 is missing", i)
		}
	}
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {19 * time.Millisecond, false}, {time.Millisecond, true}, {0, false}, {time.Hour, true}} {
		now = now.Add(step.after)
		if got := b.take(now, 50); got != step.want {
			t.Errorf("%v later: got %v", step.after, got)
		}
	}
}

// maximalBody is a put as large as can be, of events of 256 B.
func maximalBody(b *testing.B) []byte {
	at := strconv.FormatInt(time.Now().UnixMilli(), 10)
	one := `{"message":"` + strings.Repeat("m", 256) + `","timestamp":` + at + `}`
	list := strings.Repeat(one+",", MaxBatchBytes/(256+EventOverhead))
	b.ReportMetric(float64(strings.Count(list, "message")), "events/op")
	return []byte(`{"logEvents":[` + list[:len(list)-1] + `],"logGroupName":"g","logStreamName":"s"}`)
}

// The handler alone, in count-only mode: payload hash included, HTTP left out.
func BenchmarkPut(b *testing.B) {
	body := maximalBody(b)
	sum := sha256.Sum256(body)
	s := New(Options{CountOnly: true, AnyCredentials: true})
	if err := s.CreateStream(Target{"r", "g", "s"}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("X-Amz-Target", targetPrefix+string(PutLogEvents))
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
		r.Header.Set("X-Amz-Date", time.Now().UTC().Format(dateLayout))
		r.Header.Set("Authorization", algorithm+" Credential=k/"+time.Now().UTC().Format("20060102")+
			"/r/logs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target;x-amz-content-sha256, Signature=s")
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(s.Stats().Events), "ns/event")
}

// What reading by hand is worth.
func BenchmarkParse(b *testing.B) {
	body := maximalBody(b)
	for name, parse := range map[string]func(*put) error{
		"hand": func(p *put) error { return p.parse(body) },
		"json": func(p *put) error { return p.parseAny(body) },
	} {
		b.Run(name, func(b *testing.B) {
			var p put
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				p.reset()
				if err := parse(&p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
