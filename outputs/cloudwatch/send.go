package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluicelog/sluice/engine"
)

// The bounds of what is mended within one Write.
const (
	maxCreations = 3 // AWS may take a moment to know what it has just created
	maxRenewals  = 1
)

// A receipt is what AWS said to a payload that it took.
type receipt struct {
	rejected *types.RejectedLogEventsInfo // nil: it took all of it
	request  string                       // AWS's ID of the request
}

// send puts a payload. What is missing is created, and what was refused for its credentials is tried once
// more with fresh ones, at once: neither is the batch's fault.
func (o *Output) send(ctx context.Context, d delivery, p *payload) (receipt, error) {
	for creations, renewals := 0, 0; ; {
		used := o.login.current.Load()
		r, err := o.put(ctx, d, p)
		if err == nil {
			return r, nil
		}
		no := newRefusal(err)
		switch no.class() {
		case taken:
			return receipt{}, nil
		case missing:
			if o.set.Create == CreateNone {
				return receipt{}, o.kind("put to", d.target, no)
			} else if creations == maxCreations {
				return receipt{}, engine.Retryable(o.tell("put to", d.target, no))
			}
			if err := o.create(ctx, d.region, d.target, creations); err != nil {
				return receipt{}, err
			}
			if creations++; creations == maxCreations && pause(ctx, creations) != nil { // the last put is worth a wait
				return receipt{}, engine.Retryable(o.tell("put to", d.target, no))
			}
			continue
		case stale:
			if renewals < maxRenewals && o.login.renew(ctx, used) == nil {
				renewals++
				continue
			}
		case denied:
			if _, ok := errors.AsType[*loginError](err); ok { // somebody may have put credentials where there were none
				_ = o.login.renew(ctx, used) // the next Write finds out
			}
		case throttled:
			d.region.bucket.slow(time.Now())
		default:
		}
		return receipt{}, o.kind("put to", d.target, no)
	}
}

// sendOn is send for a part of a record whose other parts are there. Were the engine to try the record again these would be
// there twice, so what may pass is waited for here, as long as ctx allows.
func (o *Output) sendOn(ctx context.Context, d delivery, p *payload) (receipt, error) {
	for tries := 1; ; tries++ {
		r, err := o.send(ctx, d, p)
		if err == nil {
			return r, nil
		}
		if k := engine.AsWriteError(err).Kind; k != engine.KindRetryable && k != engine.KindThrottled || pause(ctx, tries) != nil {
			return receipt{}, err
		}
	}
}

// put calls PutLogEvents once. It is a success only where AWS says so: 200, with an ID of the request.
func (o *Output) put(ctx context.Context, d delivery, p *payload) (receipt, error) {
	ctx = context.WithValue(ctx, attemptKey{}, &attempt{d.batch, d.region.bucket, o.set.Timeout})
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &d.target.group, LogStreamName: &d.target.stream, LogEvents: p.events}
	if in.LogEvents == nil {
		in.LogEvents = []types.InputLogEvent{}
		ctx = context.WithValue(ctx, payloadKey{}, p)
	}
	out, err := d.region.client.PutLogEvents(ctx, in)
	if err != nil {
		return receipt{}, err
	}
	if err := confirmed(out.ResultMetadata); err != nil {
		return receipt{}, err
	}
	id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	return receipt{out.RejectedLogEventsInfo, id}, nil
}

// confirmed reports whether it was AWS that answered: somebody on the way may say 200, too.
func confirmed(m middleware.Metadata) error {
	if answer, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response); ok && answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %d is no success of AWS", answer.StatusCode)
	}
	if id, ok := awsmiddleware.GetRequestIDMetadata(m); !ok || id == "" {
		return errors.New("answer 200 without a request ID is not from AWS")
	}
	return nil
}
