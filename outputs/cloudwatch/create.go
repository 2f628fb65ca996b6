package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"

	"github.com/sluicelog/sluice/engine"
)

// create makes the log stream, and its group where that is missing, too: many may create streams who may not create groups.
// Several Writes that find them missing have them created once. It is asked for a tries-th time where the stream is missing
// after it was created, and waits a little before that. The error is one of the engine's kinds.
func (o *Output) create(ctx context.Context, r *region, t target, tries int) error {
	if err := pause(ctx, tries); err != nil {
		return engine.Retryable(fmt.Errorf("create %s: %w", t, err))
	}
	return o.shared(ctx, t, t.String(), func() error {
		no := o.createStream(ctx, r, t)
		if no != nil && no.class() == missing && o.set.Create == CreateAll {
			err := o.shared(ctx, t, t.region+":"+t.group, func() error { return o.createGroup(ctx, r, t) })
			if err != nil {
				return err
			}
			no = o.createStream(ctx, r, t)
		}
		if no != nil {
			return o.notCreated("create log stream", t, no)
		}
		o.set.Log.Debug("log stream is there", "region", t.region, "group", t.group, "stream", t.stream)
		return nil
	})
}

// shared has work done by one of those who ask for it at once.
func (o *Output) shared(ctx context.Context, t target, key string, work func() error) error {
	err := o.creations.do(ctx, key, work)
	if _, ok := errors.AsType[*engine.WriteError](err); ok || err == nil {
		return err
	}
	return engine.Retryable(fmt.Errorf("create %s: %w", t, err))
}

func (o *Output) createStream(ctx context.Context, r *region, t target) *refusal {
	return o.call(ctx, r.bucket.streams, conflicts, func(ctx context.Context) (middleware.Metadata, error) {
		out, err := r.client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{
			LogGroupName: &t.group, LogStreamName: &t.stream,
		})
		if err != nil {
			return middleware.Metadata{}, err
		}
		return out.ResultMetadata, nil
	})
}

// createGroup makes the group. Only a group that we made is given our retention.
func (o *Output) createGroup(ctx context.Context, r *region, t target) error {
	existed := false
	no := o.call(ctx, r.bucket.groups, conflicts, func(ctx context.Context) (middleware.Metadata, error) {
		in := &cloudwatchlogs.CreateLogGroupInput{
			LogGroupName: &t.group, Tags: o.set.Tags, LogGroupClass: types.LogGroupClass(o.set.Class),
		}
		if o.set.KMSKey != "" {
			in.KmsKeyId = &o.set.KMSKey
		}
		out, err := r.client.CreateLogGroup(ctx, in)
		if err != nil {
			existed = newRefusal(err).class() == taken
			return middleware.Metadata{}, err
		}
		return out.ResultMetadata, nil
	})
	if no != nil {
		err := o.notCreated("create log group", t, no)
		if o.set.Retention != 0 && no.class() == transient { // should it be there after all, it is not ours to the next who asks
			o.set.Log.Warn("log group may have been created, and would get no retention", "region", t.region, "group", t.group,
				"days", o.set.Retention, "err", err)
		}
		return err
	}
	if existed {
		return nil
	}
	o.set.Log.Info("log group created", "region", t.region, "group", t.group)
	if o.set.Retention != 0 {
		o.putRetention(ctx, r, t)
	}
	return nil
}

// retentionTimeout is how long the records of a new group wait for its retention, from when it has its turn.
const retentionTimeout = 2 * time.Second

// putRetention is no reason to keep records back where it fails: it is told, for somebody to do it by hand.
func (o *Output) putRetention(ctx context.Context, r *region, t target) {
	_ = r.bucket.retentions.Wait(ctx) // out of turn, where there is no time for that, it is tried all the same
	ctx, cancel := context.WithTimeout(ctx, retentionTimeout)
	defer cancel()
	no := o.call(ctx, rate.NewLimiter(rate.Inf, 0), passes, func(ctx context.Context) (middleware.Metadata, error) {
		out, err := r.client.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{
			LogGroupName: &t.group, RetentionInDays: aws.Int32(int32(o.set.Retention)),
		})
		if err != nil {
			return middleware.Metadata{}, err
		}
		return out.ResultMetadata, nil
	})
	if no != nil {
		o.set.Log.Warn("log group has no retention, and will get none", "region", t.region, "group", t.group,
			"days", o.set.Retention, "err", o.tell("put retention of", t, no))
	}
}

// maxConflicts is how often a call is made again that conflicts with another's.
const maxConflicts = 4

func conflicts(c class) bool { return c == conflict }

// passes reports whether somebody who waits a little may fare better.
func passes(c class) bool { return c == conflict || c == throttled || c == transient }

// call makes one call in its turn; again where again says so, and at once with fresh credentials where the old ones were
// refused. What is there already is a success.
func (o *Output) call(
	ctx context.Context, turn *rate.Limiter, again func(class) bool, work func(ctx context.Context) (middleware.Metadata, error),
) *refusal {
	for tries, renewals := 1, 0; ; {
		if err := turn.Wait(ctx); err != nil {
			return newRefusal(err)
		}
		used := o.login.current.Load()
		err := o.attempt(ctx, work)
		if err == nil {
			return nil
		}
		no := newRefusal(err)
		switch c := no.class(); {
		case c == taken:
			return nil
		case c == stale && renewals < maxRenewals && o.login.renew(ctx, used) == nil:
			renewals++
			continue
		case !again(c) || tries > maxConflicts || pause(ctx, tries) != nil:
			return no
		}
		tries++
	}
}

func (o *Output) attempt(ctx context.Context, work func(ctx context.Context) (middleware.Metadata, error)) error {
	ctx, cancel := context.WithTimeout(ctx, o.set.Timeout)
	defer cancel()
	m, err := work(ctx)
	if err != nil {
		return err
	}
	return confirmed(m)
}

// notCreated is what the engine is told. A throttle of creating is no reason to cool those whose streams are there; and what
// AWS does not take in a name or a key is ours to mend, not the records' fault.
func (o *Output) notCreated(what string, t target, no *refusal) error {
	err := o.tell(what, t, no)
	switch no.class() {
	case transient, throttled, conflict, taken:
		return engine.Retryable(err)
	default:
		return engine.Denied(err)
	}
}

// The pauses begin with the base; each is twice as long as the one before, up to the seventh.
const (
	pauseBase    = 50 * time.Millisecond
	pauseDoubles = 6
)

// pause waits a little before what is tried for the n-th time again; not at all before the first time, 0.
func pause(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	bound := pauseBase << min(n, pauseDoubles)
	timer := time.NewTimer(bound/2 + rand.N(bound/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
