// Package http is an output that posts batches to a URL, as NDJSON or as one JSON array.
//
// Any 2xx is a success. 429 and 503 throttle the whole output, for as long as Retry-After says; 408, 425 and the other 5xx are
// tried again; 413 is too large; 401, 403 and 407 park the batch's key until somebody mends it. All else, redirects among
// it, which are not followed, is permanent, with the reason http_ and the code.
package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/render"
)

var (
	_ engine.Output  = (*Output)(nil)
	_ engine.Keyer   = (*Output)(nil)
	_ engine.Batcher = (*Output)(nil)
)

// An Output posts each batch in a request of its own.
type Output struct {
	set      Options
	target   *url.URL
	name     string // of the target, without its secrets
	header   http.Header
	secrets  *strings.Replacer
	key      *render.Template
	renderer *render.Renderer
	client   *http.Client
	writers  sync.Pool // of *gzip.Writer
}

// PerRecord implements [engine.Keyer].
func (o *Output) PerRecord(*engine.Chunk) bool { return o.key.PerRecord() }

// AppendKey implements [engine.Keyer].
func (o *Output) AppendKey(dst []byte, c *engine.Chunk, r engine.Record) []byte {
	return o.key.Append(dst, c, r)
}

// Batching implements [engine.Batcher]: requests of a size that most receivers take, one a second where little comes.
func (o *Output) Batching() engine.BatchLimits {
	return engine.BatchLimits{MaxBytes: 512 << 10, MaxRecords: 1000, Linger: time.Second}
}

// Write posts the batch, or what of it fits into a body: the rest is for the next Write.
func (o *Output) Write(ctx context.Context, b *engine.Batch) error {
	if err := ctx.Err(); err != nil {
		return engine.Retryable(err)
	}
	l := o.load(b)
	if len(l.taken) == 0 {
		l.block.Free()
		return l.answer(nil)
	}
	l.finish(o.set.Format)
	p, err := o.encode(l.block)
	if err != nil {
		return engine.Retryable(fmt.Errorf("compress: %w", err))
	}
	defer p.release()
	return l.answer(o.post(ctx, p))
}

// Close closes the connections.
func (o *Output) Close() error {
	o.client.CloseIdleConnections()
	return nil
}

func (o *Output) post(ctx context.Context, p *payload) error {
	ctx, cancel := context.WithTimeout(ctx, o.set.Timeout)
	defer cancel()
	r := (&http.Request{
		Method: http.MethodPost,
		URL:    o.target,
		Host:   o.header.Get("Host"),
		Header: o.header.Clone(),
	}).WithContext(ctx)
	p.attach(r)
	resp, err := o.client.Do(r)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok { // it repeats the URL
			err = outer.Err
		}
		return engine.Retryable(fmt.Errorf("post to %s: %w", o.name, o.hide(err)))
	}
	defer resp.Body.Close()
	wait, taken := maxSay, resp.StatusCode/100 == 2
	if taken {
		wait = maxWait
	}
	defer time.AfterFunc(wait, cancel).Stop() // which ends the reads below, and with them the connection
	if taken {
		drain(resp.Body)
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxRead)) // what came of it is all that there is to tell
	drain(resp.Body)
	err = fmt.Errorf("post to %s: %s%s", o.name, status(resp.StatusCode), o.quote(said))
	err = kind(resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), time.Now()), err)
	return engine.OfRequest(requestID(resp.Header), err)
}

const (
	maxRead  = 4 << 10  // bytes of a refusal that are read
	maxQuote = 256      // bytes of it that are told
	maxDrain = 64 << 10 // bytes of an answer that are read to keep the connection: more costs more than a new one

	maxWait = 50 * time.Millisecond // for the rest of a success, which tells nothing new
	maxSay  = time.Second           // for the rest of a refusal, which may tell why
)

// drain reads what is left of an answer, for the connection to be used again.
func drain(body io.Reader) { _, _ = io.CopyN(io.Discard, body, maxDrain) }
