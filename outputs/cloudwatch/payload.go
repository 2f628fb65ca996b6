package cloudwatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/klauspost/compress/gzip"

	"github.com/sluicelog/sluice/engine/render"
)

// A payload is the body of one PutLogEvents in pooled memory, in our own encoding: the SDK's, without what it allocates for
// each event. The SDK hands the body to the transport behind a reader that it closes before it returns, so the memory is free
// with the call's return.
type payload struct {
	body   []byte // what is sent
	hash   string // SHA-256 of it, in hex
	gzip   bool
	events []types.InputLogEvent // instead of a body: the SDK encodes them

	text   []byte // not compressed
	zipped bytes.Buffer
	writer *gzip.Writer
}

// payload encodes the events once, however often they are put.
func (o *Output) payload(t target, events []event) (*payload, error) {
	p := o.payloads.get()
	if o.set.PlainSDK {
		p.events = inputs(events)
		return p, nil
	}
	p.text = appendBody(slices.Grow(p.text[:0], bodySize(events)), t, events)
	p.body, p.gzip = p.text, o.set.Gzip
	if p.gzip {
		if err := p.compress(); err != nil {
			o.free(p)
			return nil, fmt.Errorf("compress: %w", err)
		}
	}
	sum := sha256.Sum256(p.body)
	p.hash = hex.EncodeToString(sum[:])
	return p, nil
}

// maxKept is the largest memory that a payload keeps when it is freed, in bytes: of a full request, with room for escapes.
const maxKept = 4 << 20

func (o *Output) free(p *payload) {
	p.body, p.events = nil, nil
	if cap(p.text)+p.zipped.Cap() <= maxKept {
		o.payloads.put(p)
	}
}

// bodySize is about how long the body becomes: AWS counts 26 bytes for what is 40 of each event here, and the rest is for the
// names and some escapes.
func bodySize(events []event) int {
	size := 4 << 10
	for i := range events {
		size += events[i].size() + 16
	}
	return size
}

// appendBody appends the request as the SDK would encode it.
func appendBody(dst []byte, t target, events []event) []byte {
	dst = append(dst, `{"logEvents":[`...)
	last, from, to := int64(0), 0, 0 // the last time and its digits: many events are of one millisecond
	for i := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"message":`...)
		dst = render.AppendString(dst, events[i].text)
		dst = append(dst, `,"timestamp":`...)
		if at := events[i].at; at == last && to > 0 {
			dst = append(dst, dst[from:to]...)
		} else {
			last, from = at, len(dst)
			dst = strconv.AppendInt(dst, at, 10)
			to = len(dst)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `],"logGroupName":`...)
	dst = render.AppendString(dst, t.group)
	dst = append(dst, `,"logStreamName":`...)
	dst = render.AppendString(dst, t.stream)
	return append(dst, '}')
}

func (p *payload) compress() error {
	p.zipped.Reset()
	if p.writer == nil {
		p.writer, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for a bad level alone
	}
	p.writer.Reset(&p.zipped)
	if _, err := p.writer.Write(p.text); err != nil {
		return err
	}
	if err := p.writer.Close(); err != nil {
		return err
	}
	p.body = p.zipped.Bytes()
	return nil
}

// inputs are the events as the SDK wants them.
func inputs(events []event) []types.InputLogEvent {
	all := make([]types.InputLogEvent, len(events))
	for i := range events {
		text := string(events[i].text)
		all[i] = types.InputLogEvent{Message: &text, Timestamp: &events[i].at}
	}
	return all
}

// payloadKey is the context's key of the payload that takes the place of the SDK's own body.
type payloadKey struct{}

// swapBody is a step of the SDK's after its serializer, which made the headers and a body without events: it puts our body
// there. The hash that is signed is given along with it, so that the body is hashed once.
type swapBody struct{}

func (swapBody) ID() string { return "SluiceSwapBody" }

func (swapBody) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
	middleware.SerializeOutput, middleware.Metadata, error,
) {
	p, ok := ctx.Value(payloadKey{}).(*payload)
	if !ok || p.body == nil {
		return next.HandleSerialize(ctx, in)
	}
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("request is a %T", in.Request)
	}
	if p.gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	request, err := request.SetStream(bytes.NewReader(p.body))
	if err != nil {
		return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("set body: %w", err)
	}
	in.Request = request
	return next.HandleSerialize(v4.SetPayloadHash(ctx, p.hash), in)
}

// addSwapBody adds the step to an operation.
func addSwapBody(stack *middleware.Stack) error {
	return stack.Serialize.Insert(swapBody{}, "OperationSerializer", middleware.After)
}
