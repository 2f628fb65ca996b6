package cwfake_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// Every limit of a batch as a whole, on both sides of its boundary.
func TestBatchLimits(t *testing.T) {
	const wrong = "InvalidParameterException"
	sized := func(bytes int) []types.InputLogEvent { // as the service counts them
		const whole = 1000
		es := events(bytes/whole, strings.Repeat("x", whole-cwfake.EventOverhead))
		if rest := bytes % whole; rest > 0 {
			es = append(es, event(time.Second, strings.Repeat("y", rest-cwfake.EventOverhead)))
		}
		return es
	}
	tests := []struct {
		name   string
		events func() []types.InputLogEvent
		want   string
	}{
		{"no events", func() []types.InputLogEvent { return []types.InputLogEvent{} }, wrong},
		{"one event", func() []types.InputLogEvent { return events(1, "x") }, "OK"},
		{"10,000 events", func() []types.InputLogEvent { return events(10_000, "x") }, "OK"},
		{"10,001 events", func() []types.InputLogEvent { return events(10_001, "x") }, wrong},
		{"1,048,576 bytes", func() []types.InputLogEvent { return sized(1_048_576) }, "OK"},
		{"1,048,577 bytes", func() []types.InputLogEvent { return sized(1_048_577) }, wrong},
		{"empty message", func() []types.InputLogEvent { return events(1, "") }, wrong},
		{"largest event", func() []types.InputLogEvent { return events(1, strings.Repeat("x", 1_048_550)) }, "OK"},
		{"an event too large", func() []types.InputLogEvent { return events(1, strings.Repeat("x", 1_048_551)) }, wrong},
		{"largest in UTF-8", func() []types.InputLogEvent { return events(1, strings.Repeat("ä", 524_275)) }, "OK"},
		{"too large in UTF-8", func() []types.InputLogEvent { return events(1, strings.Repeat("ä", 524_275)+"x") }, wrong},
		{"largest of escapes", func() []types.InputLogEvent { return events(1, strings.Repeat("\x01", 1_048_550)) }, "OK"},
		{"same time", func() []types.InputLogEvent { return events(2, "x") }, "OK"},
		{"a step back", func() []types.InputLogEvent {
			return []types.InputLogEvent{event(0, "x"), event(-time.Millisecond, "x")}
		}, wrong},
		{"24 h", func() []types.InputLogEvent {
			return []types.InputLogEvent{event(-24*time.Hour, "x"), event(0, "x")}
		}, "OK"},
		{"24 h and 1 ms", func() []types.InputLogEvent {
			return []types.InputLogEvent{event(-24*time.Hour, "x"), event(time.Millisecond, "x")}
		}, wrong},
		{"no message", func() []types.InputLogEvent { return []types.InputLogEvent{{Timestamp: aws.Int64(1)}} }, "client"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := onPipe(t, cwfake.Options{})
				es := test.events()
				_, err := sc.put(t.Context(), here, es...)
				if test.want == "client" {
					if err == nil {
						t.Error("the SDK let it pass")
					}
					return
				}
				if got := codeOf(err); got != test.want {
					t.Fatalf("got %s, want %s: %v", got, test.want, err)
				}
				want := 0
				if test.want == "OK" {
					want = len(es)
				}
				if got := len(sc.Events(here)); got != want {
					t.Errorf("%d events stored, want %d", got, want)
				}
			})
		})
	}
}

// The same by TCP: the boundary of bytes, which is the one that large bodies meet.
func TestBatchLimitsLoopback(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{})
	if _, err := sc.put(t.Context(), here, events(1, strings.Repeat("x", cwfake.MaxEventBytes))...); err != nil {
		t.Error(err)
	}
	if _, err := sc.put(t.Context(), here, events(1, strings.Repeat("x", cwfake.MaxEventBytes+1))...); err == nil {
		t.Error("an event over the limit was stored")
	}
	if _, err := sc.put(t.Context(), here, events(10_000, "x")...); err != nil {
		t.Error(err)
	}
	if _, err := sc.put(t.Context(), here, events(10_001, "x")...); err == nil {
		t.Error("10,001 events were stored")
	}
}

// Events out of the window are rejected, they alone, by index.
func TestWindow(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name                 string
		retention            int32
		at                   []time.Duration
		old, expired, tooNew int32 // -1: not said
		want                 int
		wantErr              string
	}{
		{"14 d", 0, []time.Duration{-14 * day}, -1, -1, -1, 1, "OK"},
		{"14 d and 1 ms", 0, []time.Duration{-14*day - time.Millisecond}, 1, -1, -1, 0, "OK"},
		{"2 h ahead", 0, []time.Duration{2 * time.Hour}, -1, -1, -1, 1, "OK"},
		{"2 h and 1 ms ahead", 0, []time.Duration{2*time.Hour + time.Millisecond}, -1, -1, 0, 0, "OK"},
		{"both, and two between", 0, []time.Duration{-20 * day, -15 * day, -time.Hour, 0, 3 * time.Hour}, 2, -1, 4, 2, "OK"},
		{"all old", 0, []time.Duration{-16 * day, -15 * day}, 2, -1, -1, 0, "OK"},
		{"all new", 0, []time.Duration{3 * time.Hour, 4 * time.Hour}, -1, -1, 0, 0, "OK"},
		{"in retention", 3, []time.Duration{-3 * day, -3*day + time.Hour}, -1, -1, -1, 2, "OK"},
		{"out of retention by 1 ms", 3, []time.Duration{-3*day - time.Millisecond, -3 * day}, -1, 1, -1, 1, "OK"},
		{"old and expired", 3, []time.Duration{-15 * day, -4 * day, 0}, 1, 2, -1, 1, "OK"},
		{"long retention", 30, []time.Duration{-14*day - time.Millisecond, -14 * day}, 1, -1, -1, 1, "OK"},
		{"the span counts what is valid", 0, []time.Duration{-15 * day, -day, 0, 3 * time.Hour}, 1, -1, 3, 2, "OK"},
		{"the span of what is valid", 0, []time.Duration{-15 * day, -day - time.Millisecond, 0}, 0, 0, 0, 0, "InvalidParameterException"},
	}
	said := func(p *int32) int32 {
		if p == nil {
			return -1
		}
		return *p
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, cwfake.Options{}, func(t *testing.T, sc *scene) {
				if test.retention > 0 {
					_, err := sc.logs.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{
						LogGroupName: &here.Group, RetentionInDays: &test.retention,
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				var es []types.InputLogEvent
				for _, at := range test.at {
					es = append(es, event(at, "x"))
				}
				out, err := sc.put(t.Context(), here, es...)
				if codeOf(err) != test.wantErr {
					t.Fatalf("got %v, want %s", err, test.wantErr)
				}
				if got := len(sc.Events(here)); got != test.want {
					t.Errorf("%d stored, want %d", got, test.want)
				}
				if err != nil {
					return
				}
				if aws.ToString(out.NextSequenceToken) == "" {
					t.Error("no sequence token")
				}
				info := out.RejectedLogEventsInfo
				if rejects := test.want < len(test.at); rejects != (info != nil) {
					t.Fatalf("rejected events' info is %v", info)
				} else if !rejects {
					return
				}
				got := [3]int32{said(info.TooOldLogEventEndIndex), said(info.ExpiredLogEventEndIndex), said(info.TooNewLogEventStartIndex)}
				if want := [3]int32{test.old, test.expired, test.tooNew}; got != want {
					t.Errorf("old, expired, new: got %v, want %v", got, want)
				}
			})
		})
	}
}

func TestNames(t *testing.T) {
	const wrong = "InvalidParameterException"
	long := strings.Repeat("n", 512)
	tests := []struct{ group, stream, want string }{
		{"aZ09._/#-", "s", "OK"},
		{long, "s", "OK"},
		{long + "n", "s", wrong},
		{"a b", "s", wrong},
		{"a:b", "s", wrong},
		{"ä", "s", wrong},
		{"aws/x", "s", wrong},
		{"g", long, "OK"},
		{"g", strings.Repeat("ä", 512), "OK"},
		{"g", long + "n", wrong},
		{"g", "any thing / [else] ä", "OK"},
		{"g", "a:b", wrong},
		{"g", "a*b", wrong},
	}
	sc := onLoopback(t, cwfake.Options{})
	for _, test := range tests {
		_, err := sc.logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &test.group})
		if code := codeOf(err); code == "OK" || code == "ResourceAlreadyExistsException" {
			_, err = sc.logs.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{
				LogGroupName: &test.group, LogStreamName: &test.stream,
			})
		}
		if got := codeOf(err); got != test.want {
			t.Errorf("%.20q, %.20q: create gives %s, want %s", test.group, test.stream, got, test.want)
		}
		if _, err = sc.put(t.Context(), cwfake.Target{Group: test.group, Stream: test.stream}, event(0, "x")); codeOf(err) != test.want &&
			test.group != "aws/x" {
			t.Errorf("%.20q, %.20q: put gives %v, want %s", test.group, test.stream, err, test.want)
		}
	}
}

func TestRetentionDays(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{})
	for days, want := range map[int32]string{
		1: "OK", 3653: "OK", 14: "OK", 2: "InvalidParameterException", 0: "InvalidParameterException", 3654: "InvalidParameterException",
	} {
		_, err := sc.logs.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{
			LogGroupName: &here.Group, RetentionInDays: &days,
		})
		if got := codeOf(err); got != want {
			t.Errorf("%d days: got %s, want %s", days, got, want)
		}
	}
}
