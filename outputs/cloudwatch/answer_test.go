package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

func TestAnswers(t *testing.T) {
	said := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code, "why it is so") }
	}
	page := func(status int, request string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if request != "" {
				w.Header().Set("x-amzn-RequestId", request)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>no</html>")
		}
	}
	empty := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-amzn-RequestId", "request-1")
			w.WriteHeader(status)
		}
	}
	torn := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-amzn-RequestId", "request-1")
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"__type":"Thrott`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		kind   engine.Kind
		reason string
		says   string
		calls  int // 1 unless said
	}{
		{name: "throttled", answer: said(400, "ThrottlingException"), kind: engine.KindThrottled, says: "ThrottlingException: why it is so"},
		{name: "throttled otherwise", answer: said(400, "TooManyRequestsException"), kind: engine.KindThrottled},
		{name: "slow down", answer: said(503, "SlowDown"), kind: engine.KindThrottled},
		{name: "429", answer: page(429, ""), kind: engine.KindThrottled, says: "429"},
		{name: "denied", answer: said(400, "AccessDeniedException"), kind: engine.KindDenied, says: "request request-1"},
		{name: "no such key", answer: said(400, "UnrecognizedClientException"), kind: engine.KindDenied, calls: 2},
		{name: "bad signature", answer: said(403, "InvalidSignatureException"), kind: engine.KindDenied, calls: 2},
		{name: "expired", answer: said(400, "ExpiredTokenException"), kind: engine.KindDenied, calls: 2},
		{name: "limit", answer: said(400, "LimitExceededException"), kind: engine.KindDenied},
		{name: "region not opted in", answer: said(400, "OptInRequired"), kind: engine.KindDenied},
		{name: "no operation", answer: said(400, "InvalidOperationException"), kind: engine.KindDenied},
		{name: "another service", answer: said(404, "UnknownOperationException"), kind: engine.KindDenied},
		{name: "403 page", answer: page(403, ""), kind: engine.KindDenied, says: "403 Forbidden"},
		{name: "invalid parameter", answer: said(400, "InvalidParameterException"), kind: engine.KindPermanent, reason: "invalid_parameter"},
		{name: "validation", answer: said(400, "ValidationException"), kind: engine.KindPermanent, reason: "validation"},
		{name: "validation of a query", answer: said(400, "ValidationError"), kind: engine.KindPermanent, reason: "validation"},
		{name: "serialization", answer: said(400, "SerializationException"), kind: engine.KindPermanent, reason: "serialization"},
		{name: "unknown code", answer: said(400, "NewException"), kind: engine.KindDenied, says: "NewException"},
		{name: "bad HTTP", answer: said(400, "MalformedHttpRequestException"), kind: engine.KindDenied},
		{name: "no subscription", answer: said(403, "SubscriptionRequiredException"), kind: engine.KindDenied},
		{name: "bad token", answer: said(400, "InvalidTokenException"), kind: engine.KindDenied},
		{name: "aborted", answer: said(400, "RequestAbortedException"), kind: engine.KindRetryable},
		{name: "400 of AWS without a word", answer: empty(400), kind: engine.KindDenied},
		{name: "400 page with an ID", answer: page(400, "request-1"), kind: engine.KindRetryable},
		{name: "400 that is cut", answer: torn(400), kind: engine.KindRetryable, says: "400 Bad Request"},
		{name: "404 that is cut", answer: torn(404), kind: engine.KindRetryable},
		{name: "403 that is cut", answer: torn(403), kind: engine.KindDenied},
		{name: "413 that is cut", answer: torn(413), kind: engine.KindTooLarge, reason: "too_large"},
		{name: "429 that is cut", answer: torn(429), kind: engine.KindThrottled},
		{name: "400 of somebody", answer: page(400, ""), kind: engine.KindRetryable},
		{name: "404 of somebody", answer: page(404, ""), kind: engine.KindRetryable},
		{name: "302 of somebody", answer: page(302, ""), kind: engine.KindRetryable},
		{name: "too large", answer: page(413, ""), kind: engine.KindTooLarge, reason: "too_large"},
		{name: "too large for AWS", answer: said(413, "RequestEntityTooLargeException"), kind: engine.KindTooLarge, reason: "too_large"},
		{name: "500", answer: said(500, "InternalFailure"), kind: engine.KindRetryable},
		{name: "503", answer: said(503, "ServiceUnavailableException"), kind: engine.KindRetryable},
		{name: "502 page", answer: page(502, ""), kind: engine.KindRetryable, says: "502 Bad Gateway"},
		{name: "408", answer: page(408, "request-1"), kind: engine.KindRetryable},
		{name: "conflict", answer: said(400, "OperationAbortedException"), kind: engine.KindRetryable},
		{name: "empty 200", answer: func(http.ResponseWriter, *http.Request) {}, kind: engine.KindRetryable, says: "request ID"},
		{name: "200 page", answer: page(200, ""), kind: engine.KindRetryable},
		{name: "200 page of AWS", answer: page(200, "request-1"), kind: engine.KindRetryable},
		{name: "202", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-amzn-RequestId", "id")
			w.WriteHeader(http.StatusAccepted)
		}, kind: engine.KindRetryable, says: "202"},
		{name: "no group, none wanted", answer: said(400, "ResourceNotFoundException"), kind: engine.KindDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			o := handled(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				c.answer(w, r)
			}, Options{Create: CreateNone})
			err := o.Write(t.Context(), bodies(o, "one", "two"))
			wantKind(t, err, c.kind, c.reason)
			if want := max(c.calls, 1); calls != want {
				t.Errorf("%d calls, want %d", calls, want)
			}
			if text := err.Error(); !strings.Contains(text, c.says) || !strings.Contains(text, testKey) || strings.ContainsAny(text, "\n<") {
				t.Errorf("%q, want %q in it", text, c.says)
			}
		})
	}
}

func TestSuccesses(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"with an ID": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("x-amzn-RequestId", "id") },
		"taken already": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 400, "DataAlreadyAcceptedException", "The given batch of log events has already been accepted.")
		},
	} {
		o := handled(t, answer, Options{})
		if err := o.Write(t.Context(), bodies(o, "one")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The indexes that AWS gives are of the sorted request; the engine is told of the batch's records.
func TestRejectedIndexes(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	at := func(seconds int) []byte { return record(now.Add(time.Duration(seconds)*time.Second), "x") }
	c := chunkOf(at(5), at(1), record(now, ""), at(3), at(2), at(4), at(0)) // sorted: 6 1 4 3 5 0
	for _, x := range []struct{ info, want string }{
		{`{}`, "2 empty_message"},
		{`{"tooOldLogEventEndIndex":2}`, "1 too_old, 2 empty_message, 6 too_old"},
		{`{"tooNewLogEventStartIndex":4}`, "0 too_new, 2 empty_message, 5 too_new"},
		{`{"expiredLogEventEndIndex":3}`, "1 expired, 2 empty_message, 4 expired, 6 expired"},
		{`{"tooOldLogEventEndIndex":1,"expiredLogEventEndIndex":3,"tooNewLogEventStartIndex":5}`,
			"0 too_new, 1 expired, 2 empty_message, 4 expired, 6 too_old"},
		{`{"tooOldLogEventEndIndex":6}`, "0 too_old, 1 too_old, 2 empty_message, 3-5 too_old, 6 too_old"},
		{`{"tooOldLogEventEndIndex":0,"expiredLogEventEndIndex":0,"tooNewLogEventStartIndex":6}`, "2 empty_message"},
		{`{"tooOldLogEventEndIndex":-1,"expiredLogEventEndIndex":99}`,
			"0 expired, 1 expired, 2 empty_message, 3 expired"},
	} {
		o := handled(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-amzn-RequestId", "id")
			_, _ = fmt.Fprintf(w, `{"rejectedLogEventsInfo":%s}`, x.info)
		}, Options{})
		p := partial(t, o.Write(t.Context(), batchOf(o, c)))
		got := map[int]string{}
		for _, r := range p.Rejected {
			for i := r.From; i < r.To; i++ {
				got[i] = r.Reason
			}
		}
		for _, r := range p.Delivered {
			for i := r.From; i < r.To; i++ {
				got[i] += "delivered"
			}
		}
		if len(got) != 7 {
			t.Errorf("%s: %d records are named: %+v", x.info, len(got), p)
		}
		for _, want := range expand(x.want) {
			if got[want.record] != want.reason {
				t.Errorf("%s: record %d: %s, want %s", x.info, want.record, got[want.record], want.reason)
			}
		}
	}
}

type told struct {
	record int
	reason string
}

// expand reads "1 too_old, 3-5 expired".
func expand(s string) (all []told) {
	for part := range strings.SplitSeq(s, ", ") {
		var from, to int
		var reason string
		if n, _ := fmt.Sscanf(part, "%d-%d %s", &from, &to, &reason); n != 3 {
			_, _ = fmt.Sscanf(part, "%d %s", &from, &reason)
			to = from + 1
		}
		for i := from; i < to; i++ {
			all = append(all, told{i, reason})
		}
	}
	return all
}

// What is rejected before the call is so, too, where the call fails.
func TestRejectedEvenWhereTheRestFails(t *testing.T) {
	o := handled(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 400, "ThrottlingException", "") }, Options{})
	err := o.Write(t.Context(), bodies(o, "one", "", "two"))
	p, ok := errors.AsType[*engine.Partial](err)
	if !ok || len(p.Rejected) != 1 || p.Rejected[0].From != 1 || len(p.Delivered) != 0 || engine.AsWriteError(err).Kind != engine.KindThrottled {
		t.Errorf("%#v", err)
	}
}

// A part that AWS rejects takes its record with it, once.
func TestRejectedParts(t *testing.T) {
	o := handled(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-amzn-RequestId", "id")
		_, _ = io.WriteString(w, `{"rejectedLogEventsInfo":{"expiredLogEventEndIndex":1}}`)
	}, Options{})
	p := partial(t, o.Write(t.Context(), bodies(o, strings.Repeat("x", 3<<20), "next")))
	if len(p.Rejected) != 1 || p.Rejected[0].Range != (engine.Range{From: 0, To: 1}) || p.Rejected[0].Reason != "expired" || len(p.Delivered) != 0 {
		t.Errorf("%+v", p)
	}
}

// No secret comes back in an error, whoever tells it.
func TestSecretsAreNotTold(t *testing.T) {
	const token = "SESSION+TOKEN/that=is/secret"
	for _, code := range []string{"InvalidSignatureException", "ValidationException", "ThrottlingException"} {
		o := handled(t, func(w http.ResponseWriter, r *http.Request) {
			refuse(w, 400, code, r.Header.Get("X-Amz-Security-Token")+" is wrong. "+cwfake.Secret+"\nThe Canonical String is "+
				r.Header.Get("X-Amz-Security-Token")+" "+r.Header.Get("Authorization"))
		}, Options{})
		t.Setenv("AWS_SESSION_TOKEN", token)
		must(t, o.login.renew(t.Context(), o.login.current.Load()))
		err := o.Write(t.Context(), bodies(o, "one"))
		for _, secret := range []string{token, cwfake.Secret, "Signature=", "AWS4-HMAC"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s is in: %v", secret, err)
			}
		}
		if !strings.Contains(err.Error(), code) || !strings.Contains(err.Error(), "[redacted] is wrong") {
			t.Errorf("it does not say what is wrong: %v", err)
		}
	}
	o := handled(t, func(w http.ResponseWriter, r *http.Request) {
		refuse(w, 400, "ValidationException", "you sent "+r.Header.Get("Authorization"))
	}, Options{})
	if err := o.Write(t.Context(), bodies(o, "one")); strings.Contains(err.Error(), "Signature") {
		t.Error(err)
	}
}

// Nor does what was in a record, which AWS quotes.
func TestValuesAreNotTold(t *testing.T) {
	for _, x := range []struct{ said, want string }{
		{"Value 'a log' at 'x' failed", "Value '[redacted]' at 'x' failed"},
		{"2 errors: Value 'a ' at 'log' at 'x' failed; Value 'log' at 'y' failed", "2 errors: Value '[redacted]' at 'y' failed"},
		{"Value 'a log\nof lines' at 'x' failed", "Value '[redacted]' at 'x' failed"},
		{"Value 'a log is too long", "Value '[redacted]"},
		{"Value at 'x' failed", "Value at 'x' failed"},
	} {
		o := handled(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 400, "ValidationException", x.said) }, Options{})
		err := o.Write(t.Context(), bodies(o, "one"))
		if text := err.Error(); !strings.Contains(text, "Exception: "+x.want) || strings.Contains(text, "log") {
			t.Errorf("%q is told as %q", x.said, text)
		}
	}
}

// What cannot even be asked for is nobody's fault on the way: somebody has to mend it.
func TestUnsendable(t *testing.T) {
	environment(t)
	o := newOutput(t, Options{})
	for _, region := range []string{"-", "a-", ""} {
		b := bodies(o, "one")
		b.Key = region + ":group:stream"
		wantKind(t, o.Write(t.Context(), b), engine.KindDenied, "")
	}
}

// What hangs, is slow or breaks ends in time and is tried again.
func TestTimeouts(t *testing.T) {
	environment(t)
	for name, x := range map[string]struct {
		fault cwfake.Fault
		want  time.Duration
	}{
		"hang":         {cwfake.HangBefore(), 15 * time.Second},
		"hang after":   {cwfake.HangAfter(), 15 * time.Second},
		"slow answer":  {cwfake.SlowBody(20 * time.Second), 30 * time.Second},
		"reset":        {cwfake.ResetBefore(), 0},
		"reset after":  {cwfake.ResetAfter(), 0},
		"truncated":    {cwfake.TruncatedBody(), 0},
		"cut refusal":  {cwfake.Cut(cwfake.Throttle()), 0},
		"slow refusal": {cwfake.Trickled(cwfake.Throttle(), 20*time.Second), 30 * time.Second},
		"empty":        {cwfake.EmptyOK(), 0},
		"bad gateway":  {cwfake.BadGateway(), 0},
		"late, but so": {cwfake.Late(10 * time.Second), -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, o := piped(t, cwfake.Options{}, Options{})
				must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
				s.Queue(cwfake.PutLogEvents, x.fault)
				start := time.Now()
				err := o.Write(t.Context(), bodies(o, "one"))
				took := time.Since(start)
				if x.want < 0 {
					must(t, err)
					return
				}
				wantKind(t, err, engine.KindRetryable, "")
				if took != x.want {
					t.Errorf("it took %s, want %s", took, x.want)
				}
				if timedOut := x.want > 0; errors.Is(err, context.DeadlineExceeded) != timedOut {
					t.Errorf("timed out: %v, want %v", err, timedOut)
				}
				must(t, o.Write(t.Context(), bodies(o, "one")))
			})
		})
	}
}

func TestNobodyListens(t *testing.T) {
	environment(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	o := newOutput(t, Options{Endpoint: "http://" + l.Addr().String()})
	wantKind(t, o.Write(t.Context(), bodies(o, "one")), engine.KindRetryable, "")
}

// An idle connection is closed by us before AWS does so.
func TestConnections(t *testing.T) {
	environment(t)
	no := false
	for name, x := range map[string]struct {
		o     Options
		pause time.Duration
		want  int64
	}{
		"used again":         {Options{}, 3 * time.Second, 1},
		"closed when idle":   {Options{}, 5 * time.Second, 4},
		"idle for longer":    {Options{IdleTimeout: 6 * time.Second}, 5 * time.Second, 1},
		"never used again":   {Options{Keepalive: &no}, 0, 4},
		"with nothing to do": {Options{}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, o := piped(t, cwfake.Options{}, x.o)
				must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
				for range 4 {
					must(t, o.Write(t.Context(), bodies(o, "one")))
					time.Sleep(x.pause)
				}
				if n := s.Stats().Connections; n != x.want {
					t.Errorf("%d connections, want %d", n, x.want)
				}
			})
		})
	}
}
