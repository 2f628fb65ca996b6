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

// send puts a payload. What is missing is created, and what was refused for its credentials is tried once
// more with fresh ones, at once: neither is the batch's fault.
func (o *Output) send(ctx context.Context, d delivery, p *payload) (*types.RejectedLogEventsInfo, error) {
	for creations, renewals := 0, 0; ; {
		used := o.login.current.Load()
		info, err := o.put(ctx, d, p)
		if err == nil {
			return info, nil
		}
		no := newRefusal(err)
		switch no.class() {
		case taken:
			return nil, nil
		case missing:
			if o.set.Create == CreateNone {
				return nil, o.kind("put to", d.target, no)
			} else if creations == maxCreations {
				return nil, engine.Retryable(o.tell("put to", d.target, no))
			}
			if err := o.create(ctx, d.region, d.target, creations); err != nil {
				return nil, err
			}
			if creations++; creations == maxCreations && pause(ctx, creations) != nil { // the last put is worth a wait
				return nil, engine.Retryable(o.tell("put to", d.target, no))
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
		return nil, o.kind("put to", d.target, no)
	}
}

// sendOn is send for a part of a record whose other parts are there. Were the engine to try the record again these would be
// there twice, so what may pass is waited for here, as long as ctx allows.
func (o *Output) sendOn(ctx context.Context, d delivery, p *payload) (*types.RejectedLogEventsInfo, error) {
	for tries := 1; ; tries++ {
		info, err := o.send(ctx, d, p)
		if err == nil {
			return info, nil
		}
		if k := engine.AsWriteError(err).Kind; k != engine.KindRetryable && k != engine.KindThrottled || pause(ctx, tries) != nil {
			return nil, err
		}
	}
}

// put calls PutLogEvents once. It is a success only where AWS says so: 200, with an ID of the request.
func (o *Output) put(ctx context.Context, d delivery, p *payload) (*types.RejectedLogEventsInfo, error) {
	ctx = context.WithValue(ctx, attemptKey{}, &attempt{d.batch, d.region.bucket, o.set.Timeout})
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &d.target.group, LogStreamName: &d.target.stream, LogEvents: p.events}
	if in.LogEvents == nil {
		in.LogEvents = []types.InputLogEvent{}
		ctx = context.WithValue(ctx, payloadKey{}, p)
	}
	out, err := d.region.client.PutLogEvents(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := confirmed(out.ResultMetadata); err != nil {
		return nil, err
	}
	return out.RejectedLogEventsInfo, nil
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
