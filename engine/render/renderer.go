package render

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/sluicelog/sluice/engine"
)

// The formats of records.
const (
	FormatNDJSON = "ndjson"
	FormatText   = "text"
)

// Options say how records are rendered. They are meant to lie inline in an output's own.
type Options struct {
	Format string `yaml:"format"` // ndjson or text: ndjson
	// Template is the line of format text, as ParseLine reads it: the body alone. A string is written as it is, what is no
	// string as JSON.
	Template string `yaml:"template"`
	// EscapeNewlines writes newlines and carriage returns within a text line as \n and \r, and a backslash as \\. Without
	// it they stay, and a record may take several lines.
	EscapeNewlines bool `yaml:"escape_newlines"`
}

// A Renderer renders records in one form. It is safe for concurrent use.
type Renderer struct {
	line   *Template // nil: NDJSON
	escape bool
	blocks sync.Pool
}

// New makes a renderer. All that is wrong with the options is said at once.
func New(o Options) (*Renderer, error) {
	r := &Renderer{escape: o.EscapeNewlines}
	r.blocks.New = func() any { return &Block{renderer: r} }
	switch o.Format {
	case FormatText:
		line := o.Template
		if line == "" {
			line = "{body}"
		}
		var err error
		if r.line, err = ParseLine(line); err != nil {
			return nil, err
		}
		return r, nil
	case "", FormatNDJSON:
		var errs []error
		if o.Template != "" {
			errs = append(errs, errors.New("template: it is for format text"))
		}
		if o.EscapeNewlines {
			errs = append(errs, errors.New("escape_newlines: it is for format text"))
		}
		return r, errors.Join(errs...)
	}
	return nil, fmt.Errorf("format: %q is neither %s nor %s", o.Format, FormatNDJSON, FormatText)
}

// Block gives an empty block.
func (r *Renderer) Block() *Block { return r.blocks.Get().(*Block) }

// Render gives a block with all records of a batch.
func (r *Renderer) Render(batch *engine.Batch) *Block {
	b := r.Block()
	for _, rec := range batch.All() {
		b.Add(rec)
	}
	return b
}

// appendLine appends a record as text, without the newline that ends it.
func (r *Renderer) appendLine(dst []byte, rec *engine.BatchRecord) []byte {
	from := len(dst)
	dst = r.line.append(dst, rec)
	if !r.escape || !bytes.ContainsAny(dst[from:], "\n\r\\") {
		return dst
	}
	text := bytes.Clone(dst[from:])
	dst = dst[:from]
	for _, c := range text {
		switch c {
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\\':
			dst = append(dst, '\\', '\\')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
