package http

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A receiver keeps the bodies of the records that are posted to it.
type receiver struct {
	mu       sync.Mutex // guards what follows
	bodies   []string
	requests []*http.Request
	sizes    []int
	limited  bool
	room     int                 // records that it takes before it is unavailable
	answer   http.HandlerFunc    // instead of taking anything
	faults   []string            // what is wrong with requests
	format   string              // what is posted
	conns    map[string]struct{} // that requests came on
}

func (v *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := readBody(r)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests = append(v.requests, r)
	v.sizes = append(v.sizes, len(text))
	v.conns[r.RemoteAddr] = struct{}{}
	if err != nil {
		v.faults = append(v.faults, err.Error())
		return
	}
	if v.answer != nil {
		v.answer(w, r)
		return
	}
	bodies, err := v.parse(text)
	if err != nil {
		v.faults = append(v.faults, fmt.Sprintf("%v in %.100q", err, text))
	}
	if v.limited && len(bodies) > v.room {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	v.room -= len(bodies)
	v.bodies = append(v.bodies, bodies...)
	w.WriteHeader(http.StatusAccepted)
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func (v *receiver) parse(text []byte) ([]string, error) {
	type object struct{ Body any }
	var objects []object
	if v.format == FormatJSON {
		if err := json.Unmarshal(text, &objects); err != nil {
			return nil, err
		}
	} else {
		for line := range strings.Lines(string(text)) {
			var o object
			if err := json.Unmarshal([]byte(line), &o); err != nil || !strings.HasSuffix(line, "\n") {
				return nil, fmt.Errorf("line %.100q: %w", line, err)
			}
			objects = append(objects, o)
		}
	}
	var bodies []string
	for _, o := range objects {
		bodies = append(bodies, fmt.Sprint(o.Body))
	}
	return bodies, nil
}

func (v *receiver) delivered(t testing.TB) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, fault := range v.faults {
		t.Error(fault)
	}
	v.faults = nil
	return append([]string(nil), v.bodies...)
}

func (v *receiver) fail(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.limited, v.room = n >= 0, n
}

// setup starts a receiver and an output that posts to it; both end with the test.
func setup(t testing.TB, o Options) (*receiver, *Output) {
	t.Helper()
	v := &receiver{format: o.Format, conns: make(map[string]struct{})}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	if o.URL == "" {
		o.URL = server.URL
	}
	out := newOutput(t, o)
	t.Cleanup(func() { closeOutput(t, out) })
	return v, out
}

func newOutput(t testing.TB, o Options) *Output {
	t.Helper()
	out, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func closeOutput(t testing.TB, o *Output) {
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}

func batch(t testing.TB, bodies ...string) *engine.Batch {
	t.Helper()
	var mint enginetest.Mint
	c := mint.Chunk(&engine.Stream{Tenant: "default", ID: "s", Tag: "t"}, 1, 0, bodies...)
	t.Cleanup(c.Release)
	b := engine.NewBatch(engine.Span{Stream: c.Stream, Records: engine.SelectRange(0, c.Count), Bytes: len(c.Data)})
	b.Pin([]*engine.Chunk{c})
	return b
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"ndjson":       {},
		"json":         {Format: FormatJSON},
		"gzip":         {Gzip: true},
		"gzip json":    {Gzip: true, Format: FormatJSON},
		"small bodies": {Format: FormatJSON, MaxBody: 1000},
		"keyed":        {Key: "{stream}"},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.TestOutput(t, func(t *testing.T) enginetest.OutputFixture {
				v, out := setup(t, o)
				return enginetest.OutputFixture{Output: out, Delivered: v.delivered, Fail: v.fail}
			})
		})
	}
}

func TestRequest(t *testing.T) {
	v, o := setup(t, Options{Gzip: true, Headers: map[string]string{"X-Key": "k", "Content-Type": "text/plain", "Host": "there"}})
	for range 3 {
		if err := o.Write(t.Context(), batch(t, "one", "two")); err != nil {
			t.Fatal(err)
		}
	}
	r := v.requests[0]
	for name, want := range map[string]string{
		"X-Key": "k", "Content-Type": "text/plain", "Content-Encoding": "gzip", "User-Agent": "sluice",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if r.Method != http.MethodPost || r.Host != "there" || r.ContentLength <= 0 {
		t.Errorf("%s to %s with length %d", r.Method, r.Host, r.ContentLength)
	}
	if len(v.conns) != 1 {
		t.Errorf("%d connections for three requests, one after the other", len(v.conns))
	}
}

// A connection lives on after a refusal, whatever was said along with it.
func TestConnectionIsKept(t *testing.T) {
	v, o := setup(t, Options{})
	v.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(make([]byte, 4*maxRead))
	}
	for range 3 {
		if err := o.Write(t.Context(), batch(t, "one")); err == nil {
			t.Fatal("it was taken")
		}
	}
	if len(v.conns) != 1 {
		t.Errorf("%d connections for three requests, one after the other", len(v.conns))
	}
}

// The transport may read a body after its answer is there: the memory is not used again before it is done.
func TestPayloadIsFreedWithItsLastReader(t *testing.T) {
	freed := 0
	p := &payload{data: []byte("body"), free: func() { freed++ }}
	p.refs.Store(1)
	one, two := p.open(), p.open()
	if b, err := io.ReadAll(one); err != nil || string(b) != "body" {
		t.Errorf("%q, %v", b, err)
	}
	for _, done := range []func(){p.release, func() { _ = one.Close() }, func() { _ = one.Close() }} {
		if done(); freed != 0 {
			t.Fatal("freed while it may be read")
		}
	}
	_ = two.Close()
	if _, err := two.Read(make([]byte, 1)); freed != 1 || err == nil {
		t.Errorf("freed %d times after the last reader was closed; it reads on: %v", freed, err)
	}
}

func TestAnswers(t *testing.T) {
	const secs = "Retry-After"
	for _, c := range []struct {
		code   int
		after  string
		kind   engine.Kind
		reason string
		want   time.Duration
	}{
		{code: 400, kind: engine.KindPermanent, reason: "http_400"},
		{code: 401, kind: engine.KindDenied},
		{code: 403, kind: engine.KindDenied},
		{code: 404, kind: engine.KindPermanent, reason: "http_404"},
		{code: 408, kind: engine.KindRetryable},
		{code: 413, kind: engine.KindTooLarge, reason: "too_large"},
		{code: 425, kind: engine.KindRetryable},
		{code: 429, kind: engine.KindThrottled},
		{code: 429, after: "7", kind: engine.KindThrottled, want: 7 * time.Second},
		{code: 429, after: "soon", kind: engine.KindThrottled},
		{code: 500, kind: engine.KindRetryable},
		{code: 502, after: "2", kind: engine.KindThrottled, want: 2 * time.Second},
		{code: 503, kind: engine.KindThrottled},
		{code: 503, after: "99999999999999999", kind: engine.KindThrottled, want: time.Hour},
		{code: 599, kind: engine.KindRetryable},
		{code: 302, kind: engine.KindPermanent, reason: "http_302"},
		{code: 304, kind: engine.KindPermanent, reason: "http_304"},
	} {
		t.Run(fmt.Sprint(c.code, c.after), func(t *testing.T) {
			v, o := setup(t, Options{})
			v.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				if c.after != "" {
					w.Header().Set(secs, c.after)
				}
				w.WriteHeader(c.code)
				if c.code != 304 {
					_, _ = io.WriteString(w, "\x1b[31m\xffwhy\n"+strings.Repeat("ü", 500))
				}
			}
			err := o.Write(t.Context(), batch(t, "one"))
			var we *engine.WriteError
			if !errors.As(err, &we) || we.Kind != c.kind || we.After != c.want || we.Reason != c.reason {
				t.Fatalf("%#v", err)
			}
			if text := err.Error(); !strings.Contains(text, fmt.Sprint(c.code)) || strings.ContainsAny(text, "\x1b\n") || len(text) > 700 {
				t.Errorf("%q", text)
			}
			if c.code != 304 && !strings.Contains(err.Error(), "why") {
				t.Errorf("what the destination said is not told: %v", err)
			}
			if len(v.requests) != 1 {
				t.Errorf("%d requests", len(v.requests))
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "0": 0, "-1": 0, "1.5": 0, "120": 2 * time.Minute, "3600000": time.Hour, "18446744073709551615": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0, "Sat, 02 Jan 2099 03:00:00 GMT": time.Hour,
		"Friday, 02-Jan-26 03:04:35 GMT": 30 * time.Second,
	} {
		if got := retryAfter(s, now); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

// What does not fit into one body goes into the next, and what fits into none is refused alone.
func TestBodyIsBounded(t *testing.T) {
	big := strings.Repeat("x", 400)
	for _, format := range []string{FormatNDJSON, FormatJSON} {
		v, o := setup(t, Options{Format: format, MaxBody: 350})
		bodies := []string{"1", "2", "3", big, "4"}
		var rejected []string
		for range 10 {
			err := o.Write(t.Context(), batch(t, bodies...))
			if err == nil {
				break
			}
			var p *engine.Partial
			if !errors.As(err, &p) || p.Err != nil {
				t.Fatal(err)
			}
			gone := make(map[int]bool)
			for _, r := range p.Delivered {
				for i := r.From; i < r.To; i++ {
					gone[i] = true
				}
			}
			for _, r := range p.Rejected {
				if r.Reason != "too_large" {
					t.Errorf("%+v", r)
				}
				gone[r.From] = true
				rejected = append(rejected, bodies[r.From])
			}
			var rest []string
			for i, body := range bodies {
				if !gone[i] {
					rest = append(rest, body)
				}
			}
			bodies = rest
		}
		if got := strings.Join(v.delivered(t), ""); got != "1234" {
			t.Errorf("%s: delivered %s", format, got)
		}
		if len(rejected) != 1 || rejected[0] != big {
			t.Errorf("%s: rejected %q", format, rejected)
		}
		for _, size := range v.sizes {
			if size > 350 {
				t.Errorf("%s: a body of %d bytes", format, size)
			}
		}
	}
}

func TestOversizeIsRefusedEvenWhereTheRestFails(t *testing.T) {
	v, o := setup(t, Options{MaxBody: 350})
	v.fail(0)
	err := o.Write(t.Context(), batch(t, strings.Repeat("x", 400), "one"))
	var p *engine.Partial
	if !errors.As(err, &p) || len(p.Rejected) != 1 || len(p.Delivered) != 0 || engine.AsWriteError(err).Kind != engine.KindThrottled {
		t.Errorf("%#v", err)
	}
}

func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	v, o := setup(t, Options{Timeout: 20 * time.Millisecond})
	t.Cleanup(func() { close(release) })
	v.answer = func(http.ResponseWriter, *http.Request) { <-release }
	err := o.Write(t.Context(), batch(t, "one"))
	if engine.AsWriteError(err).Kind != engine.KindRetryable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// Once it is known how a request went, an answer that does not end holds nobody up.
func TestAnswerThatStalls(t *testing.T) {
	for code, want := range map[int]string{202: "", 500: "partly"} {
		release := make(chan struct{})
		v, o := setup(t, Options{Timeout: time.Hour})
		t.Cleanup(func() { close(release) })
		v.answer = func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "partly")
			_ = http.NewResponseController(w).Flush()
			<-release
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // far more than the wait
		err := o.Write(ctx, batch(t, "one"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || ctx.Err() != nil {
			t.Errorf("%d: %v, and then %v", code, err, ctx.Err())
		}
		cancel()
	}
}

func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	o := newOutput(t, Options{URL: server.URL})
	defer closeOutput(t, o)
	if err := o.Write(t.Context(), batch(t, "one")); err == nil || engine.AsWriteError(err).Kind != engine.KindRetryable {
		t.Errorf("%v", err)
	}
}

// No secret comes back in an error, whoever tells it: of the URL nothing is told but the scheme and the host.
func TestSecretsAreNotTold(t *testing.T) {
	v, o := setup(t, Options{})
	closeOutput(t, o)
	host := o.target.Host
	v.answer = func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		user, password, _ := r.BasicAuth()
		_, _ = fmt.Fprint(w, r.URL.Path, "|", r.URL.EscapedPath(), "|", user, password, "|", r.Header.Get("Authorization"), "|",
			strings.Fields(r.Header.Get("X-Token"))[1], "|", r.URL.RawQuery, "|", r.URL.Query().Get("key"))
	}
	for _, url := range []string{
		"user:pass-word@%s/in/path-secret/T%%20-secret?key=query%%20secret",
		"user-secret@%s/in/path-secret/?key=query%%20secret",
		"u@%s/in?key=query%%20secret",
	} {
		for _, host := range []string{host, "127.0.0.1:1"} {
			url := "http://" + fmt.Sprintf(url, host)
			o := newOutput(t, Options{URL: url, Headers: map[string]string{"X-Token": "Bearer header-secret"}})
			err := o.Write(t.Context(), batch(t, "one"))
			closeOutput(t, o)
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, secret := range []string{
				"secret", "pass-word",
				"dXNlcjpwYXNzLXdvcmQ=", "dXNlci1zZWNyZXQ6", // base64 of user:pass-word and of user-secret:
			} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %s is in: %v", url, secret, err)
				}
			}
			if !strings.Contains(err.Error(), "post to http://"+host+": ") {
				t.Errorf("it does not say where: %v", err)
			}
		}
	}
	for _, url := range []string{"http://user:pass-word@[::1", "ftp://user:pass-word@host", "http://user:pass-word@", "http://user:pass-word@h:port"} {
		if _, err := New(Options{URL: url}); err == nil || strings.Contains(err.Error(), "pass-word") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// What net/http tells of an answer that it cannot read may be what was sent, too.
func TestSecretsAreNotToldByTheTransport(t *testing.T) {
	v, o := setup(t, Options{})
	closeOutput(t, o)
	o = newOutput(t, Options{URL: o.target.String() + "/path-secret"})
	defer closeOutput(t, o)
	v.answer = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://[::1"+r.URL.Path)
		w.WriteHeader(http.StatusFound)
	}
	err := o.Write(t.Context(), batch(t, "one"))
	if engine.AsWriteError(err).Kind != engine.KindRetryable || strings.Contains(err.Error(), "path-secret") {
		t.Errorf("%v", err)
	}
}

func TestKeys(t *testing.T) {
	_, o := setup(t, Options{Key: "{tag}/{attr.k}"})
	c := &engine.Chunk{Stream: &engine.Stream{Tag: "t"}}
	r := engine.Record{Wire: enginetest.Record(1, "b", "k", "v")}
	if got := string(o.AppendKey(nil, c, r)); !o.PerRecord(c) || got != "t/v" {
		t.Errorf("key %q", got)
	}
	_, o = setup(t, Options{})
	if got := o.AppendKey(nil, c, r); o.PerRecord(c) || len(got) != 0 {
		t.Errorf("without a template the key is %q", got)
	}
}

func TestOptionsAreAllChecked(t *testing.T) {
	_, err := New(Options{
		URL: "gopher://x", Format: "xml", Key: "{", MaxBody: -1,
		Headers: map[string]string{"bad name": "v", "X": "secret\n", "X-Key": "one secret", "x-key": "another secret"},
		Timeout: -1, IdleTimeout: -1, TLS: TLS{CAFile: "/does/not/exist", CertFile: "c"},
	})
	if err == nil {
		t.Fatal("all of it was taken")
	}
	for _, key := range []string{
		"url:", "format:", "headers:", "bad name", "X-Key and x-key are the same", "key:", "max_body:", "timeout:", "idle_timeout:", "tls.ca_file:", "tls.cert_file",
	} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("nothing about %s in: %v", key, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a header's value is told: %v", err)
	}
}
