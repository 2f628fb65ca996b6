package cwfake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// What a client sees of each fault, whether the events were stored, and how the call is counted.
func TestFaults(t *testing.T) {
	tests := []struct {
		fault  cwfake.Fault
		status int    // 0: no answer at all
		code   string // of the error; empty: whatever the SDK makes of it
		stored bool
		result string
	}{
		{cwfake.Throttle(), 400, "ThrottlingException", false, "ThrottlingException"},
		{cwfake.InternalError(), 500, "InternalFailure", false, "InternalFailure"},
		{cwfake.Unavailable(), 503, "ServiceUnavailableException", false, "ServiceUnavailableException"},
		{cwfake.Denied(), 400, "AccessDeniedException", false, "AccessDeniedException"},
		{cwfake.BadGateway(), 502, "", false, "html-502"},
		{cwfake.EmptyOK(), 200, "OK", false, "empty-200"},
		{cwfake.ResetBefore(), 0, "", false, "reset"},
		{cwfake.ResetAfter(), 0, "", true, "reset-after"},
		{cwfake.HangBefore(), 0, "", false, "hang"},
		{cwfake.HangAfter(), 0, "", true, "hang-after"},
		{cwfake.SlowBody(time.Millisecond), 200, "OK", true, "slow"},
		{cwfake.TruncatedBody(), 200, "", true, "truncated"},
		{cwfake.Cut(cwfake.Throttle()), 400, "", false, "ThrottlingException-truncated"},
		{cwfake.Trickled(cwfake.Throttle(), time.Millisecond), 400, "ThrottlingException", false, "ThrottlingException-slow"},
		{cwfake.Trickled(cwfake.Throttle(), time.Minute), 400, "", false, "ThrottlingException-slow"},
		{cwfake.Late(time.Second), 200, "OK", true, "OK"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.result, test.fault.Delay), func(t *testing.T) {
			inBubble(t, cwfake.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, sc *scene) {
				sc.Queue(cwfake.PutLogEvents, test.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := sc.putOne(ctx, "x")
				if code := codeOf(err); test.code != "" && code != test.code || test.code == "" && err == nil {
					t.Errorf("got %v, want %q", err, test.code)
				}
				if status := statusOf(err); status != test.status {
					t.Errorf("got status %d, want %d", status, test.status)
				}
				synctest.Wait()
				if got := len(sc.Events(here)) == 1; got != test.stored {
					t.Errorf("stored is %v", got)
				}
				if n := sc.Stats().Count(cwfake.PutLogEvents, test.result); n != 1 {
					t.Errorf("calls are %v, want one %s", sc.Stats().Calls, test.result)
				}
				if err := sc.putOne(ctx, "y"); ctx.Err() == nil && err != nil {
					t.Errorf("the next call: %v", err)
				}
			})
		})
	}
}

// statusOf is the HTTP status of an SDK's answer: 200 without an error, 0 where none came.
func statusOf(err error) int {
	if err == nil {
		return 200
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}

// A slow body takes its time; latency and a late fault add up.
func TestFaultTimes(t *testing.T) {
	inBubble(t, cwfake.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, sc *scene) {
		sc.Queue(cwfake.PutLogEvents, cwfake.Late(time.Second), cwfake.SlowBody(time.Second))
		const answer = len(`{"nextSequenceToken":"49661000000000000001"}`)
		for _, want := range []time.Duration{time.Second, time.Duration(answer) * time.Second} {
			want += 20 * time.Millisecond
			begin := time.Now()
			if err := sc.putOne(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(begin); got != want {
				t.Errorf("took %v, want %v", got, want)
			}
		}
		sc.SetLatency(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := sc.putOne(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if got := sc.Stats().Count(cwfake.PutLogEvents, cwfake.ResultGone); got != 1 || sc.Stored(here) != 2 {
			t.Errorf("%d gone, %d stored", got, sc.Stored(here))
		}
	})
}

// On TCP a reset is one, with TLS too.
func TestResetLoopback(t *testing.T) {
	for name, start := range map[string]func(*testing.T, cwfake.Options) *scene{"tcp": onLoopback, "tls": onTLS} {
		t.Run(name, func(t *testing.T) {
			sc := start(t, cwfake.Options{})
			sc.Queue(cwfake.PutLogEvents, cwfake.ResetBefore(), cwfake.ResetAfter(), cwfake.TruncatedBody())
			for i, stored := range []int64{0, 1} {
				if err := sc.putOne(t.Context(), "x"); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("reset %d: got %v", i, err)
				}
				if got := sc.Stored(here); got != stored {
					t.Errorf("reset %d: %d stored", i, got)
				}
			}
			if err := sc.putOne(t.Context(), "x"); err == nil || sc.Stored(here) != 2 {
				t.Errorf("truncated: got %v, %d stored", err, sc.Stored(here))
			}
			if err := sc.putOne(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
}

// Close ends calls that hang.
func TestCloseEndsHanging(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{Fault: cwfake.On(cwfake.Puts, cwfake.HangBefore())})
	failed := make(chan error)
	go func() { failed <- sc.putOne(context.Background(), "x") }()
	for sc.Stats().InFlight == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := sc.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("the put fared well")
	}
	if err := sc.Serve(mustListen(t)); !errors.Is(err, cwfake.ErrClosed) {
		t.Errorf("serving when closed gives %v", err)
	}
}

func mustListen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The pages and empty answers that come from in between have no request ID; all others do.
func TestRequestID(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{AnyCredentials: true})
	post := func() (status int, id string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sc.url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "Logs_20140328.PutLogEvents")
		answer, err := (&http.Client{Transport: sc.transport}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		return answer.StatusCode, answer.Header.Get("x-amzn-RequestId")
	}
	sc.Queue(cwfake.PutLogEvents, cwfake.BadGateway(), cwfake.EmptyOK(), cwfake.Unavailable())
	for _, want := range []struct {
		status int
		id     bool
	}{{502, false}, {200, false}, {503, true}, {400, true}} {
		if status, id := post(); status != want.status || (id != "") != want.id {
			t.Errorf("got %d with request ID %q, want %v", status, id, want)
		}
	}
}

// Idle connections are closed after 6 s, not before. (With a little latency, as the SDK closes its own connections where
// the answer is there before it has looked for the end of the request's body.)
func TestIdleClose(t *testing.T) {
	inBubble(t, cwfake.Options{Latency: time.Millisecond}, func(t *testing.T, sc *scene) {
		for _, step := range []struct {
			idle  time.Duration
			conns int64
		}{{0, 1}, {6*time.Second - time.Millisecond, 1}, {6*time.Second + time.Millisecond, 2}} {
			time.Sleep(step.idle)
			synctest.Wait()
			if err := sc.putOne(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			if st := sc.Stats(); st.Connections != step.conns || st.OpenConnections != 1 {
				t.Errorf("idle for %v: %d connections, %d open", step.idle, st.Connections, st.OpenConnections)
			}
		}
	})
}

func TestFaultChoice(t *testing.T) {
	inBubble(t, cwfake.Options{}, func(t *testing.T, sc *scene) {
		begin := time.Now()
		sc.SetFault(cwfake.First(
			cwfake.On(cwfake.All(cwfake.Puts, cwfake.Window(begin, begin.Add(time.Second))), cwfake.Throttle()),
			cwfake.On(cwfake.InGroup(here.Group), cwfake.Denied()),
		))
		sc.Queue(cwfake.PutLogEvents, cwfake.Fault{}, cwfake.Unavailable())
		for _, want := range []string{"OK", "ServiceUnavailableException", "ThrottlingException"} {
			if got := codeOf(sc.putOne(t.Context(), "x")); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		time.Sleep(time.Second)
		if got := codeOf(sc.putOne(t.Context(), "x")); got != "AccessDeniedException" {
			t.Errorf("after the window: got %s", got)
		}
		sc.SetFault(nil)
		if err := sc.putOne(t.Context(), "x"); err != nil || sc.Queued(cwfake.PutLogEvents) != 0 {
			t.Error(err)
		}
	})
}

func TestParseFaults(t *testing.T) {
	f, err := cwfake.ParseFaults("throttle=0.25, late:5ms=0.25,denied@secret=1", 7)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for n := range int64(10_000) {
		got := f(cwfake.Call{Number: n, Operation: cwfake.PutLogEvents})
		if got != f(cwfake.Call{Number: n, Operation: cwfake.PutLogEvents}) {
			t.Fatal("the same call fares differently")
		}
		counts[fmt.Sprint(got.String(), got.Delay)]++
	}
	if n := counts["ThrottlingException0s"]; n < 2300 || n > 2700 {
		t.Errorf("%d of 10,000 throttled, want a quarter", n)
	}
	if n := counts["OK5ms"]; n < 1700 || n > 2050 {
		t.Errorf("%d of 10,000 late, want a quarter of the rest", n)
	}
	secret := cwfake.Call{Operation: cwfake.PutLogEvents, Target: cwfake.Target{Group: "secret"}}
	denied := 0
	for secret.Number = range 100 {
		if f(secret).Code == "AccessDeniedException" {
			denied++
		}
	}
	if denied < 40 {
		t.Errorf("%d of 100 denied", denied)
	}
	for _, bad := range []string{"throttle", "throttle=2", "throttle=x", "trottle=1", "late:x=1", "throttle=NaN"} {
		if _, err := cwfake.ParseFaults(bad, 0); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := cwfake.ParseFaults("", 0); err != nil {
		t.Error(err)
	}
}
