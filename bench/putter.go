package main

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// The baseline of what goes to CloudWatch is the plain SDK in a loop, with the largest batches that there can be of the
// gateway's records, made before the clock runs.
const (
	maxBatchBytes = 1 << 20 // (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html)
	eventOverhead = 26
	batchRecords  = maxBatchBytes / (bodySize + eventOverhead)
)

// A putterOrder tells a putter how many calls it has in flight, each to a stream of its own.
type putterOrder struct {
	Streams []string `json:"streams"`
}

// A putOrder has a putter make so many calls for each of its streams.
type putOrder struct {
	Calls int `json:"calls"`
}

// A putAnswer says how long they took.
type putAnswer struct {
	Seconds float64 `json:"seconds"`
}

// A putter is the SDK's client with a batch.
type putter struct {
	client  *cloudwatchlogs.Client
	streams []string
	batch   []types.InputLogEvent
}

// bePutter is the baseline's process. Endpoint, credentials and whom to trust it has from the environment, as any program
// that uses the SDK.
func bePutter(ctx context.Context, text string) error {
	var order putterOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	p, err := newPutter(ctx, order.Streams)
	if err != nil {
		return err
	}
	if err := reply(len(p.batch)); err != nil {
		return err
	}
	return obey(func(o putOrder) (putAnswer, error) { return p.put(ctx, o) })
}

// newPutter makes a putter. The SDK keeps ten idle connections: with more calls in flight it would dial for some of them each
// time, so here it keeps one for each stream.
func newPutter(ctx context.Context, streams []string) (*putter, error) {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = len(streams) })
	loaded, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client))
	if err != nil {
		return nil, err
	}
	return &putter{client: cloudwatchlogs.NewFromConfig(loaded), streams: streams, batch: fullBatch()}, nil
}

// fullBatch is one that no further record goes into. Its records have no number, so that it can be put again and again.
func fullBatch() []types.InputLogEvent {
	now := time.Now().UnixMilli()
	random := rand.New(rand.NewPCG(1, 2))
	events := make([]types.InputLogEvent, batchRecords)
	for i := range events {
		body := numberedBody("none", uint64(i), random)
		events[i] = types.InputLogEvent{Message: aws.String(strings.Replace(body, " ", "-", 1)), Timestamp: aws.Int64(now)}
	}
	return events
}

// put makes the calls, one after the other for each stream.
func (p *putter) put(ctx context.Context, order putOrder) (putAnswer, error) {
	start := time.Now()
	errs := make([]error, len(p.streams))
	var running sync.WaitGroup
	for i, stream := range p.streams {
		running.Go(func() {
			in := &cloudwatchlogs.PutLogEventsInput{
				LogGroupName: aws.String(putLogGroup), LogStreamName: aws.String(stream), LogEvents: p.batch,
			}
			for range order.Calls {
				if _, errs[i] = p.client.PutLogEvents(ctx, in); errs[i] != nil {
					return
				}
			}
		})
	}
	running.Wait()
	return putAnswer{Seconds: time.Since(start).Seconds()}, errors.Join(errs...)
}

// putStreams are the baseline's log streams.
func putStreams(n int) []string {
	streams := make([]string, n)
	for i := range streams {
		streams[i] = "put-" + strconv.Itoa(i)
	}
	return streams
}
