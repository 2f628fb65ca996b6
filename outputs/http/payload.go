package http

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"

	"github.com/sluicelog/sluice/engine/render"
)

// A payload is a request's body in pooled memory. The transport may still read it after its answer is there, so it is
// freed with the last of its references: the one that it begins with, and one a reader.
type payload struct {
	data []byte
	refs atomic.Int32
	free func()
}

// encode makes a payload of the block and takes the block over.
func (o *Output) encode(block *render.Block) (*payload, error) {
	p := &payload{data: block.Bytes, free: block.Free}
	p.refs.Store(1)
	if !o.set.Gzip {
		return p, nil
	}
	defer block.Free()
	var out bytes.Buffer
	z, ok := o.writers.Get().(*gzip.Writer)
	if !ok {
		z, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for a bad level alone
	}
	defer o.writers.Put(z)
	z.Reset(&out)
	if _, err := z.Write(block.Bytes); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	p.data, p.free = out.Bytes(), func() {}
	return p, nil
}

// attach makes the payload the request's body.
func (p *payload) attach(r *http.Request) {
	r.ContentLength = int64(len(p.data))
	r.Body = p.open()
	r.GetBody = func() (io.ReadCloser, error) { return p.open(), nil }
}

func (p *payload) open() io.ReadCloser {
	p.refs.Add(1)
	return &reader{payload: p, rest: p.data}
}

func (p *payload) release() {
	if p.refs.Add(-1) == 0 {
		p.free()
	}
}

// A reader reads a payload until it is closed, which may happen while it is being read.
type reader struct {
	mu      sync.Mutex // guards what follows
	payload *payload   // nil once closed
	rest    []byte
}

func (r *reader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.payload == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.payload != nil {
		r.payload.release()
		r.payload, r.rest = nil, nil
	}
	return nil
}
