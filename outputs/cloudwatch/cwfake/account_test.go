package cwfake_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

func (sc *scene) createGroup(t *testing.T, name string) error {
	_, err := sc.logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
	return err
}

func (sc *scene) createStream(t *testing.T, to cwfake.Target) error {
	_, err := sc.logs.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{
		LogGroupName: &to.Group, LogStreamName: &to.Stream,
	})
	return err
}

// Put, then stream, then group: the way of a client whose group is not there.
func TestCreate(t *testing.T) {
	everywhere(t, cwfake.Options{}, func(t *testing.T, sc *scene) {
		there := cwfake.Target{Region: region, Group: "new", Stream: "s"}
		put := func() error { _, err := sc.put(t.Context(), there, event(0, "x")); return err }
		group := func() error { return sc.createGroup(t, "new") }
		stream := func() error { return sc.createStream(t, there) }
		for i, step := range []struct {
			do   func() error
			want string
		}{
			{put, "ResourceNotFoundException"},
			{stream, "ResourceNotFoundException"},
			{group, "OK"},
			{group, "ResourceAlreadyExistsException"},
			{put, "ResourceNotFoundException"},
			{stream, "OK"},
			{stream, "ResourceAlreadyExistsException"},
			{put, "OK"},
		} {
			if got := codeOf(step.do()); got != step.want {
				t.Errorf("step %d: got %s, want %s", i, got, step.want)
			}
		}
		if !sc.DeleteGroup(region, "new") || sc.DeleteGroup(region, "new") {
			t.Error("the group was not there once")
		}
		if got := codeOf(put()); got != "ResourceNotFoundException" {
			t.Errorf("a put after the group was deleted gives %s", got)
		}
		if n := len(sc.Events(there)); n != 1 {
			t.Errorf("%d events kept of the deleted group", n)
		}
		if group() != nil || stream() != nil || put() != nil {
			t.Error("the group cannot be made anew")
		}
		if got := read(t, sc, there); !cmp.Equal(got, []string{"x"}) || len(sc.Events(there)) != 2 {
			t.Errorf("read %v of the group's second life", got)
		}
		if !sc.DeleteStream(there) || sc.DeleteStream(there) {
			t.Error("the stream was not there once")
		}
		if got := codeOf(put()); got != "ResourceNotFoundException" {
			t.Errorf("a put after the stream was deleted gives %s", got)
		}
	})
}

// Two at once for one name: one of them is told of a conflict.
func TestCreateRace(t *testing.T) {
	inBubble(t, cwfake.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, sc *scene) {
		for name, create := range map[string]func() error{
			"group":  func() error { return sc.createGroup(t, "new") },
			"stream": func() error { return sc.createStream(t, cwfake.Target{Group: here.Group, Stream: "new"}) },
		} {
			var got [2]string
			var both sync.WaitGroup
			for i := range got {
				both.Go(func() { got[i] = codeOf(create()) })
			}
			both.Wait()
			slices.Sort(got[:])
			if got != [2]string{"OK", "OperationAbortedException"} {
				t.Errorf("%s: got %v", name, got)
			}
			if again := codeOf(create()); again != "ResourceAlreadyExistsException" {
				t.Errorf("%s: again gives %s", name, again)
			}
		}
	})
}

// A stream settles before puts find it.
func TestSettle(t *testing.T) {
	inBubble(t, cwfake.Options{Settle: time.Second}, func(t *testing.T, sc *scene) {
		for _, step := range []struct {
			after time.Duration
			want  string
		}{{time.Second - 1, "ResourceNotFoundException"}, {1, "OK"}} {
			time.Sleep(step.after)
			if got := codeOf(sc.putOne(t.Context(), "x")); got != step.want {
				t.Errorf("%v later: got %s, want %s", step.after, got, step.want)
			}
		}
	})
}

func TestGroupOptions(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{MaxGroups: 2})
	name, tags := "mine", map[string]string{"team": "shop"}
	_, err := sc.logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{
		LogGroupName: &name, Tags: tags, KmsKeyId: aws.String("key"), LogGroupClass: types.LogGroupClassInfrequentAccess,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := codeOf(sc.createGroup(t, "one too many")); got != "InvalidParameterException" {
		t.Errorf("a bad name before the limit gives %s", got)
	}
	if got := codeOf(sc.createGroup(t, "third")); got != "LimitExceededException" {
		t.Errorf("a third group gives %s", got)
	}
	_, err = sc.logs.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{
		LogGroupName: &name, RetentionInDays: aws.Int32(30),
	})
	if err != nil {
		t.Error(err)
	}
	arn := "arn:aws:logs:" + region + ":123456789012:log-group:mine"
	_, err = sc.logs.TagResource(t.Context(), &cloudwatchlogs.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"env": "test"}})
	if err != nil {
		t.Error(err)
	}
	_, err = sc.logs.TagResource(t.Context(), &cloudwatchlogs.TagResourceInput{ResourceArn: aws.String(arn + ":*"), Tags: tags})
	if got := codeOf(err); got != "InvalidParameterException" {
		t.Errorf("the ARN with :* gives %s", got)
	}
	many := map[string]string{}
	for i := range 49 {
		many[fmt.Sprint(i)] = ""
	}
	_, err = sc.logs.TagResource(t.Context(), &cloudwatchlogs.TagResourceInput{ResourceArn: &arn, Tags: many})
	if got := codeOf(err); got != "TooManyTagsException" {
		t.Errorf("51 tags give %s", got)
	}
	g, ok := sc.Group(region, name)
	want := cwfake.Group{
		Region: region, Name: name, Created: g.Created, Retention: 30, Class: "INFREQUENT_ACCESS", KMSKey: "key",
		Tags: map[string]string{"team": "shop", "env": "test"},
	}
	if diff := cmp.Diff(want, g); diff != "" || !ok {
		t.Error(diff)
	}
	out, err := sc.logs.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("mi")})
	if err != nil || len(out.LogGroups) != 1 || *out.LogGroups[0].LogGroupArn != arn || *out.LogGroups[0].RetentionInDays != 30 {
		t.Errorf("described as %+v, %v", out, err)
	}
}

// A quota is a bucket of one second's calls, for each region.
func TestQuotas(t *testing.T) {
	inBubble(t, cwfake.Options{Quotas: cwfake.DefaultQuotas()}, func(t *testing.T, sc *scene) {
		create := func(i int) string { return codeOf(sc.createGroup(t, fmt.Sprint("g", i))) }
		for i := range 10 {
			if got := create(i); got != "OK" {
				t.Fatalf("group %d: %s", i, got)
			}
		}
		if got := create(10); got != "ThrottlingException" {
			t.Errorf("the eleventh in a second gives %s", got)
		}
		time.Sleep(100 * time.Millisecond)
		if got := create(10); got != "OK" {
			t.Errorf("a tenth of a second later: %s", got)
		}
		name := "elsewhere"
		_, err := sc.client("us-east-1").CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
		if err != nil {
			t.Errorf("another region: %v", err)
		}
		sc.SetQuotas(cwfake.Quotas{PutLogEvents: 1})
		first, second := sc.putOne(t.Context(), "x"), sc.putOne(t.Context(), "y")
		if codeOf(first) != "OK" || codeOf(second) != "ThrottlingException" || statusOf(second) != 400 {
			t.Errorf("puts give %v, %v", first, second)
		}
	})
}
