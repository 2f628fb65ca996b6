package cwfake_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// read reads all messages of a target with the SDK's paginator.
func read(t *testing.T, sc *scene, from cwfake.Target) []string {
	t.Helper()
	var messages []string
	pages := cloudwatchlogs.NewGetLogEventsPaginator(sc.logs, &cloudwatchlogs.GetLogEventsInput{
		LogGroupName: &from.Group, LogStreamName: &from.Stream, StartFromHead: aws.Bool(true),
	}, func(o *cloudwatchlogs.GetLogEventsPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			messages = append(messages, *e.Message)
		}
	}
	return messages
}

// Events are read by time, in as many pages as it takes, whatever is in them.
func TestGetLogEvents(t *testing.T) {
	everywhere(t, cwfake.Options{}, func(t *testing.T, sc *scene) {
		messages := []string{"plain", "\"quoted\\\" {\"a\":1}", "\x00\x1f\u2028", "ä😀", strings.Repeat("x", 900_000), strings.Repeat("y", 900_000)}
		at := time.Now().Add(-time.Hour)
		for i := range messages { // the last one first
			n := len(messages) - 1 - i
			e := types.InputLogEvent{Message: &messages[n], Timestamp: aws.Int64(at.Add(time.Duration(n) * time.Second).UnixMilli())}
			if _, err := sc.put(t.Context(), here, e); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(messages, read(t, sc, here)); diff != "" {
			t.Error(diff)
		}
		out, err := sc.logs.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: &here.Group, LogStreamName: &here.Stream, Limit: aws.Int32(1),
			EndTime: aws.Int64(at.Add(2 * time.Second).UnixMilli()),
		})
		if err != nil || len(out.Events) != 1 || *out.Events[0].Message != messages[1] {
			t.Fatalf("the last before the third: %v, %v", out, err)
		}
		out, err = sc.logs.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: &here.Group, LogStreamName: &here.Stream, NextToken: out.NextBackwardToken,
		})
		if err != nil || len(out.Events) != 1 || *out.Events[0].Message != messages[0] {
			t.Errorf("the page before: %v, %v", out, err)
		}
	})
}

func TestDescribeLogStreams(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{})
	for i := range 60 {
		if err := sc.CreateStream(cwfake.Target{Region: region, Group: "g", Stream: fmt.Sprintf("s%02d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sc.put(t.Context(), cwfake.Target{Group: "g", Stream: "s07"}, event(0, "x")); err != nil {
		t.Fatal(err)
	}
	var names []string
	pages := cloudwatchlogs.NewDescribeLogStreamsPaginator(sc.logs, &cloudwatchlogs.DescribeLogStreamsInput{
		LogGroupName: aws.String("g"), LogStreamNamePrefix: aws.String("s"),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.LogStreams {
			names = append(names, *s.LogStreamName)
		}
	}
	if len(names) != 60 || names[0] != "s00" || names[59] != "s59" {
		t.Errorf("streams are %v", names)
	}
	out, err := sc.logs.DescribeLogStreams(t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{
		LogGroupName: aws.String("g"), OrderBy: types.OrderByLastEventTime, Descending: aws.Bool(true), Limit: aws.Int32(1),
	})
	if err != nil || *out.LogStreams[0].LogStreamName != "s07" || out.LogStreams[0].LastEventTimestamp == nil {
		t.Errorf("the last is %+v, %v", out, err)
	}
}

// Over TLS the SDK needs the server's certificate, and speaks HTTP/1.1.
func TestTLS(t *testing.T) {
	sc := onTLS(t, cwfake.Options{})
	if !strings.HasPrefix(sc.url, "https://") {
		t.Errorf("the URL is %s", sc.url)
	}
	if err := sc.putOne(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, sc, here); !cmp.Equal(got, []string{"x"}) {
		t.Errorf("read %v", got)
	}
}
