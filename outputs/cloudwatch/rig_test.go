package cloudwatch

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testRegion = "eu-west-1"
	testGroup  = "/apps/shop"
	testStream = "web-1"
	testKey    = testRegion + ":" + testGroup + ":" + testStream
)

// environment is all that the SDK finds: credentials, and no files or services.
func environment(t testing.TB) {
	t.Helper()
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID":           cwfake.KeyID,
		"AWS_SECRET_ACCESS_KEY":       cwfake.Secret,
		"AWS_SESSION_TOKEN":           "",
		"AWS_CONFIG_FILE":             filepath.Join(t.TempDir(), "config"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "credentials"),
		"AWS_EC2_METADATA_DISABLED":   "true",
		"AWS_REGION":                  "",
		"AWS_DEFAULT_REGION":          "",
		"AWS_PROFILE":                 "",
		"AWS_ENDPOINT_URL":            "",
		"AWS_CA_BUNDLE":               "",
		"AWS_MAX_ATTEMPTS":            "1", // of the token service
	} {
		t.Setenv(key, value)
	}
}

func newOutput(t testing.TB, o Options) *Output {
	t.Helper()
	if o.Region == "" {
		o.Region = testRegion
	}
	if o.Group == "" {
		o.Group = testGroup
	}
	if o.Stream == "" {
		o.Stream = testStream
	}
	out, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
	return out
}

// fake starts a strict CloudWatch over TCP and an output that writes to it; both end with the test.
func fake(t testing.TB, f cwfake.Options, o Options) (*cwfake.Server, *Output) {
	t.Helper()
	environment(t)
	s := cwfake.New(f)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Endpoint = s.Start(l)
	t.Cleanup(func() { _ = s.Close() })
	return s, newOutput(t, o)
}

// piped is fake for a synctest bubble. The environment must be set outside of it.
func piped(t testing.TB, f cwfake.Options, o Options) (*cwfake.Server, *Output) {
	t.Helper()
	s, pipe := cwfake.New(f), enginetest.NewPipe()
	o.Endpoint, o.Dial = s.Start(pipe), pipe.DialContext
	t.Cleanup(func() { _ = s.Close() })
	return s, newOutput(t, o)
}

// handled is an output that writes to a handler.
func handled(t testing.TB, h http.HandlerFunc, o Options) *Output {
	t.Helper()
	environment(t)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	o.Endpoint = s.URL
	return newOutput(t, o)
}

// record is a record of a time, in wire form; of the time 0 where it is zero.
func record(at time.Time, body string) []byte {
	var b []byte
	if !at.IsZero() {
		b = protowire.AppendTag(b, 1, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, uint64(at.UnixNano()))
	}
	value := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), body)
	return protowire.AppendBytes(protowire.AppendTag(b, 5, protowire.BytesType), value)
}

// chunkOf is a chunk that arrived now.
func chunkOf(records ...[]byte) *engine.Chunk {
	c := &engine.Chunk{
		Stream: &engine.Stream{Tenant: "default", Tag: "shop", ID: "s1"}, Epoch: 1, First: 1, Last: uint64(len(records)),
		Count: len(records), Arrived: time.Now(),
	}
	for _, r := range records {
		c.Data = protowire.AppendTag(c.Data, 2, protowire.BytesType)
		c.Data = protowire.AppendBytes(c.Data, r)
	}
	return c
}

// batchOf is a batch of the chunks' records for the output's target.
func batchOf(o *Output, cs ...*engine.Chunk) *engine.Batch {
	var spans []engine.Span
	for _, c := range cs {
		spans = append(spans, engine.Span{
			Stream: c.Stream, Key: string(o.AppendKey(nil, c, engine.Record{})), Records: engine.SelectRange(0, c.Count),
			Bytes: len(c.Data), Arrived: c.Arrived,
		})
	}
	b := engine.NewBatch(spans...)
	b.Pin(cs)
	return b
}

// bodies is a batch of records of now.
func bodies(o *Output, texts ...string) *engine.Batch {
	records := make([][]byte, len(texts))
	for i, text := range texts {
		records[i] = record(time.Now(), text)
	}
	return batchOf(o, chunkOf(records...))
}

// stored are the messages that the fake holds of the test's target.
func stored(s *cwfake.Server) []string {
	var all []string
	for _, e := range s.Events(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}) {
		all = append(all, e.Message)
	}
	return all
}

// partial is what Write said, which must be a Partial without an error.
func partial(t testing.TB, err error) *engine.Partial {
	t.Helper()
	p, ok := errors.AsType[*engine.Partial](err)
	if !ok || p.Err != nil {
		t.Fatalf("Write: %v, want a Partial without an error", err)
	}
	return p
}

func wantKind(t testing.TB, err error, kind engine.Kind, reason string) {
	t.Helper()
	we, ok := errors.AsType[*engine.WriteError](err)
	if !ok || we.Kind != kind || we.Reason != reason {
		t.Errorf("Write: kind %v, reason %q: %v; want kind %v, reason %q", engine.AsWriteError(err).Kind,
			engine.AsWriteError(err).Reason, err, kind, reason)
	}
}

// A receiver takes all that is put, of any time, as far as it is not told to fail.
type receiver struct {
	mu       sync.Mutex // guards what follows
	messages []string
	limited  bool
	room     int // events that it takes before it fails
	faults   []string
}

func (v *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var put putRequest
	err := readPut(r, &put)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.faults = append(v.faults, err.Error())
	}
	w.Header().Set("x-amzn-RequestId", "id")
	if v.limited && len(put.LogEvents) > v.room {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	v.room -= len(put.LogEvents)
	last := int64(0)
	for _, e := range put.LogEvents {
		if e.Timestamp < last {
			v.faults = append(v.faults, "not in order of time")
		}
		last = e.Timestamp
		v.messages = append(v.messages, e.Message)
	}
	_, _ = io.WriteString(w, "{}")
}

func (v *receiver) delivered(t testing.TB) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, fault := range v.faults {
		t.Error(fault)
	}
	v.faults = nil
	return append([]string(nil), v.messages...)
}

func (v *receiver) fail(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.limited, v.room = n >= 0, n
}

type putRequest struct {
	LogEvents []struct {
		Message   string
		Timestamp int64
	}
	LogGroupName, LogStreamName string
}

func readPut(r *http.Request, into *putRequest) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return err
		}
		body = z
	}
	return json.NewDecoder(body).Decode(into)
}

// refuse answers as AWS does when it refuses.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("x-amzn-RequestId", "request-1")
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"__type":`+strconv.Quote(code)+`,"message":`+strconv.Quote(message)+`}`)
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"body":      {},
		"gzip":      {Gzip: true},
		"plain SDK": {PlainSDK: true},
		"keyed":     {Stream: "{stream}"},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.TestOutput(t, func(t *testing.T) enginetest.OutputFixture {
				v := &receiver{}
				out := handled(t, v.ServeHTTP, o)
				out.limits.past = 100 * 365 * 24 * time.Hour // the suite's records are of a fixed day
				return enginetest.OutputFixture{Output: out, Delivered: v.delivered, Fail: v.fail}
			})
		})
	}
}

// The whole record is the message: what the suite wants back is the body in it. Parts are no JSON.
func TestConformanceOfJSON(t *testing.T) {
	enginetest.TestOutput(t, func(t *testing.T) enginetest.OutputFixture {
		v := &receiver{}
		out := handled(t, v.ServeHTTP, Options{Format: FormatJSON, Oversize: OversizeDeadLetter})
		out.limits.past = 100 * 365 * 24 * time.Hour
		delivered := func(t testing.TB) []string {
			var all []string
			for _, message := range v.delivered(t) {
				var r struct{ Body any }
				if err := json.Unmarshal([]byte(message), &r); err != nil || strings.HasSuffix(message, "\n") {
					t.Errorf("%.100q: %v", message, err)
				}
				text, _ := r.Body.(string)
				all = append(all, text)
			}
			return all
		}
		return enginetest.OutputFixture{Output: out, Delivered: delivered, Fail: v.fail}
	})
}
