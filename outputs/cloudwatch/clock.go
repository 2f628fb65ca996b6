package cloudwatch

import (
	"context"
	"sync/atomic"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// A clock is AWS's in one region, as its last answer told: the window of times that AWS takes is by that, however wrong ours
// is. It is safe for concurrent use.
type clock struct {
	skew atomic.Pointer[time.Duration] // from our clock to AWS's; nil: AWS has not answered yet
}

// minSkew is what is no difference: an answer gives its time in seconds, and was a while on its way.
const minSkew = 10 * time.Second

// now is AWS's time, or the zero Time where that is not known.
func (c *clock) now() time.Time {
	skew := c.skew.Load()
	if skew == nil {
		return time.Time{}
	}
	return time.Now().Add(*skew)
}

// set says how far AWS's clock is ahead of ours.
func (c *clock) set(skew time.Duration) {
	if skew.Abs() < minSkew {
		skew = 0
	}
	c.skew.Store(&skew)
}

// addTo has the clock look at the answers to an operation.
func (c *clock) addTo(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("SluiceClock", c.look), middleware.Before)
}

// look is a step of the SDK's around those that read an answer's header. It takes the time of AWS's own answers, errors too.
func (c *clock) look(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, m, err := next.HandleDeserialize(ctx, in)
	id, _ := awsmiddleware.GetRequestIDMetadata(m)
	theirs, told := awsmiddleware.GetServerTime(m)
	ours, _ := awsmiddleware.GetResponseAt(m)
	if id != "" && told {
		c.set(theirs.Sub(ours))
	}
	return out, m, err
}
