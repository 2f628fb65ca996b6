package main

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/render"
)

// letterLines print a JSON object a line: the letter's own members, and then the record's as outputs of format ndjson write it.
type letterLines struct {
	w      *bufio.Writer
	object *letterObject
}

func newLetterLines(w io.Writer) letterPrinter {
	return &letterLines{bufio.NewWriter(w), &letterObject{}}
}

func (p *letterLines) add(l *engine.Letter) error {
	record, err := p.object.of(l)
	if err != nil {
		return err
	}
	line := strconv.AppendUint([]byte(`{"id":`), l.ID, 10)
	line = append(line, `,"tenant":`...)
	line = render.AppendString(line, l.Tenant)
	line = append(line, `,"epoch":"`...) // a string, as protobuf has it in JSON: often it is nanoseconds, and over 2^53
	line = strconv.AppendUint(line, l.Epoch, 10)
	line = append(line, `","arrived":"`...)
	line = l.Arrived.UTC().AppendFormat(line, time.RFC3339Nano)
	line = append(line, `",`...)
	_, err = p.w.Write(append(line, record[1:]...))
	return err
}

func (p *letterLines) end() error { return p.w.Flush() }

// A letterObject renders the record of a letter.
type letterObject struct{ renderer *render.Renderer }

// of gives the record as a JSON object and the end of its line.
func (o *letterObject) of(l *engine.Letter) ([]byte, error) {
	if o.renderer == nil {
		var err error
		if o.renderer, err = render.New(render.Options{}); err != nil {
			return nil, err
		}
	}
	block := o.renderer.Block()
	defer block.Free()
	block.Add(engine.BatchRecord{
		Record: l.Record, Sequence: l.Sequence, Dead: &l.DeadLetter,
		Chunk: &engine.Chunk{
			Stream: &engine.Stream{Tenant: l.Tenant, ID: l.StreamID, Tag: l.Tag}, Resource: l.Resource, Arrived: l.Arrived,
		},
	})
	return bytes.Clone(block.Bytes), nil
}
