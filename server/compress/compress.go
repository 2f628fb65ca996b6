// Package compress teaches grpc to read and write messages in s2 and zstd. gzip it knows itself.
//
// Measured against gzip, s2 costs an eighth and zstd a fifth of the server's CPU; zstd packs as well as gzip does.
package compress

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // registers itself
)

// The names that calls give their compression by.
const (
	S2   = "s2"
	Zstd = "zstd"
)

// maxWindow is how far back a zstd frame may refer, and how much one may hold in one piece: what RFC 8878 asks every
// decoder to support. Decoding takes about that much memory while it lasts.
const maxWindow = 8 << 20

//nolint:gochecknoglobals // grpc's registry is the process's, and so is whether it was added to
var register = sync.OnceValue(func() error {
	z, err := newZstd()
	if err != nil {
		return fmt.Errorf("register zstd: %w", err)
	}
	encoding.RegisterCompressor(z)
	encoding.RegisterCompressor(newS2())
	return nil
})

// Register makes s2 and zstd known to every grpc client and server of the process. It may be called more than once; the
// first call must come before any connection is in use, for grpc does not guard its registry.
func Register() error { return register() }

// A writer compresses. Reset begins a new message.
type writer interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// A reader decompresses. Reset begins a new message, and with nil gives up the last one.
type reader interface {
	io.Reader
	Reset(r io.Reader) error
}

// A compressor is an encoding.Compressor that keeps its writers and readers for the next message. How much may come out of
// one message is not its business: grpc reads no further than the server's MaxRecvMsgSize.
type compressor struct {
	name             string
	writers, readers sync.Pool
}

// Name implements encoding.Compressor.
func (c *compressor) Name() string { return c.name }

// Compress implements encoding.Compressor.
func (c *compressor) Compress(w io.Writer) (io.WriteCloser, error) {
	z := c.writers.Get().(writer)
	z.Reset(w)
	return &compressing{writer: z, pool: &c.writers}, nil
}

// Decompress implements encoding.Compressor. grpc closes what it gets.
func (c *compressor) Decompress(r io.Reader) (io.Reader, error) {
	z := c.readers.Get().(reader)
	if err := z.Reset(r); err != nil {
		c.readers.Put(z)
		return nil, err
	}
	return &decompressing{reader: z, pool: &c.readers}, nil
}

// compressing is a writer until it is closed.
type compressing struct {
	writer
	pool *sync.Pool
}

func (c *compressing) Close() error {
	err := c.writer.Close()
	c.Reset(io.Discard) // let go of the destination
	c.pool.Put(c.writer)
	return err
}

// decompressing is a reader until it is closed.
type decompressing struct {
	reader
	pool *sync.Pool
}

func (d *decompressing) Close() error {
	err := d.Reset(nil)
	d.pool.Put(d.reader)
	return err
}

// s2Reader gives Reset the form that zstd's has.
type s2Reader struct{ *s2.Reader }

func (r s2Reader) Reset(from io.Reader) error {
	r.Reader.Reset(from)
	return nil
}

func newS2() *compressor {
	return &compressor{
		name:    S2,
		writers: sync.Pool{New: func() any { return s2.NewWriter(nil, s2.WriterConcurrency(1)) }},
		readers: sync.Pool{New: func() any { return s2Reader{s2.NewReader(nil, s2.ReaderAllocBlock(64<<10))} }},
	}
}

func newZstd() (*compressor, error) {
	newWriter := func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	newReader := func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
	}
	// The options do not change, so what works once works always.
	if w, err := newWriter(); err != nil {
		return nil, err
	} else if err := w.Close(); err != nil {
		return nil, err
	}
	r, err := newReader()
	if err != nil {
		return nil, err
	}
	r.Close()
	return &compressor{
		name:    Zstd,
		writers: sync.Pool{New: func() any { w, _ := newWriter(); return w }},
		readers: sync.Pool{New: func() any { r, _ := newReader(); return r }},
	}, nil
}
