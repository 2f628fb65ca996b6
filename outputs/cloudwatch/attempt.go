package cloudwatch

import (
	"context"
	"io"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// An attempt is one PutLogEvents on its way through the SDK. Encoded and signed, it waits in front of the network for its
// batch's turn, and for a token of its quota.
type attempt struct {
	batch  *engine.Batch
	bucket *bucket
	life   time.Duration // from there on
}

// attemptKey is the context's key of an attempt.
type attemptKey struct{}

// attemptOf is what is attempted with the context, or nil.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// depart waits until the attempt may be sent, and gives the context to send it with.
func (a *attempt) depart(ctx context.Context) (context.Context, context.CancelFunc, error) {
	ctx, end, err := a.batch.Turn(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := a.bucket.take(ctx); err != nil {
		end()
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.life)
	return ctx, func() { cancel(); end() }, nil
}

// An attemptBody says when all of it was read, which is when it was sent but for what little the connection still buffers.
type attemptBody struct {
	io.ReadCloser
	sent func()
}

func (b attemptBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.sent()
	}
	return n, err
}
