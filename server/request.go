package server

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
)

// recordsTag is the one-byte tag of `records` in Append, and of `log_records` in OTLP's ScopeLogs: field 2, a message.
const recordsTag = 2<<3 | byte(protowire.BytesType)

// maxFaults is how many records of one append may be refused one by one. Each costs an error of its own, so a message that
// is made of nothing else would take a hundred times its size.
const maxFaults = 1000

// maxResource is how many bytes a resource may have: it is kept for as long as its stream is known, and charged with each
// of its chunks.
const maxResource = 64 << 10

// maxNumber is the greatest epoch and sequence that are taken. So far from wrapping, what follows them can be counted on.
const maxNumber = 1 << 62

// A request is what one StreamLogsRequest says: one of the two.
type request struct {
	open   *engine.Open
	append *engine.Append // Data lies in the frame that was scanned; it has no Slab yet
}

// scanStreamRequest reads a StreamLogsRequest. It may move bytes within b. An append longer than maxAppend bytes is
// refused. The errors are those of the producer, and say which field they are about.
func scanStreamRequest(b []byte, maxAppend int) (request, *engine.Error) {
	var r request
	for at := 0; at < len(b); {
		f, err := readField(b, at)
		if err != nil {
			return request{}, invalid("request", err)
		}
		at = f.to
		isOpen, isAppend := f.is(1, protowire.BytesType), f.is(2, protowire.BytesType)
		if !isOpen && !isAppend {
			continue
		}
		if r.open != nil || r.append != nil {
			return request{}, invalidf("request", "holds more than one of open and append")
		}
		var fault *engine.Error
		if isOpen {
			r.open, fault = scanOpen(f.value)
		} else {
			r.append, fault = scanAppend(f.value, maxAppend)
		}
		if fault != nil {
			return request{}, fault
		}
	}
	if r.open == nil && r.append == nil {
		return request{}, invalidf("request", "holds neither open nor append")
	}
	return r, nil
}

// scanOpen reads an Open.
func scanOpen(b []byte) (*engine.Open, *engine.Error) {
	o := opening{path: "open."}
	for at := 0; at < len(b); {
		f, err := readField(b, at)
		if err != nil {
			return nil, invalid("open", err)
		}
		at = f.to
		if fault := o.take(&f); fault != nil {
			return nil, fault
		}
		switch {
		case f.is(4, protowire.VarintType):
			o.Epoch = f.varint()
		case f.is(5, protowire.VarintType):
			o.First = f.varint()
		}
	}
	return o.check()
}

// scanAppend reads an Append. Its records are brought together in place.
func scanAppend(b []byte, limit int) (*engine.Append, *engine.Error) {
	if len(b) > limit {
		return nil, tooLarge("append", len(b), limit)
	}
	a := gathering{message: b}
	for at := 0; at < len(b); {
		if value, to := readRecord(b, at); to > 0 {
			if fault := a.record(at, value, to); fault != nil {
				return nil, fault
			}
			at = to
			continue
		}
		f, err := readField(b, at)
		if err != nil {
			return nil, invalid("append", err)
		}
		at = f.to
		switch {
		case f.is(2, protowire.BytesType):
			if fault := a.record(f.body-1, f.to-len(f.value), f.to); fault != nil {
				return nil, fault
			}
		case f.is(1, protowire.VarintType):
			a.First = f.varint()
		case f.is(3, protowire.VarintType):
			a.Flush = f.varint() != 0
		}
	}
	if fault := checkNumber("append.first_sequence", a.First); fault != nil {
		return nil, fault
	}
	return a.done(), nil
}

// scanSendRequest reads a SendLogsRequest. Its records are brought together in place.
func scanSendRequest(b []byte, limit int) (*engine.Open, *engine.Append, *engine.Error) {
	if len(b) > limit {
		return nil, nil, tooLarge("records", len(b), limit)
	}
	var o opening
	a := gathering{message: b}
	for at := 0; at < len(b); {
		f, err := readField(b, at)
		if err != nil {
			return nil, nil, invalid("request", err)
		}
		at = f.to
		if fault := o.take(&f); fault != nil {
			return nil, nil, fault
		}
		switch {
		case f.is(5, protowire.BytesType):
			if fault := a.record(f.body-1, f.to-len(f.value), f.to); fault != nil {
				return nil, nil, fault
			}
		case f.is(4, protowire.VarintType):
			a.First = f.varint()
		case f.is(6, protowire.VarintType):
			o.Epoch = f.varint()
		}
	}
	o.First = a.First
	open, fault := o.check()
	if fault != nil {
		return nil, nil, fault
	}
	return open, a.done(), nil
}

// An opening is an Open that is being read.
type opening struct {
	engine.Open
	path string // before the names of its fields
}

// take reads the fields that Open and SendLogsRequest have in common.
func (o *opening) take(f *field) *engine.Error {
	var err error
	switch {
	case f.is(1, protowire.BytesType):
		if o.StreamID, err = f.text(); err != nil {
			return invalid(o.path+"stream_id", err)
		}
	case f.is(2, protowire.BytesType):
		if o.Tag, err = f.text(); err != nil {
			return invalid(o.path+"tag", err)
		}
	case f.is(3, protowire.BytesType):
		if n := len(o.Resource) + len(f.value); n > maxResource {
			return invalidf(o.path+"resource", "%d bytes, more than the %d that are taken", n, maxResource)
		}
		// The frame's memory goes elsewhere, so this is a copy. A message that comes in parts is their concatenation.
		o.Resource = append(o.Resource, f.value...)
		if fault := engine.ScanResource(f.value); fault != nil {
			return resourceFault(o.path, fault)
		}
	}
	return nil
}

// check checks what only the last of each field decides.
func (o *opening) check() (*engine.Open, *engine.Error) {
	if err := checkName(o.StreamID); err != nil {
		return nil, invalid(o.path+"stream_id", err)
	}
	if err := checkTag(o.Tag); err != nil {
		return nil, invalid(o.path+"tag", err)
	}
	if fault := checkNumber(o.path+"epoch", o.Epoch); fault != nil {
		return nil, fault
	}
	if fault := checkNumber(o.path+"first_sequence", o.First); fault != nil {
		return nil, fault
	}
	o.Tenant = tenant
	return &o.Open, nil
}

// checkNumber says that an epoch or a sequence is too great.
func checkNumber(field string, n uint64) *engine.Error {
	if n > maxNumber {
		return invalidf(field, "%d, more than %d", n, uint64(maxNumber))
	}
	return nil
}

func resourceFault(path string, fault *engine.RecordError) *engine.Error {
	if fault.Field == "" {
		return invalidf(path+"resource", "%s", fault.Msg)
	}
	return invalidf(path+"resource."+fault.Field, "%s", fault.Msg)
}

// A gathering is an Append that is being read. It brings the records together as fields with a one-byte tag 2, which is
// how a chunk keeps them. As a rule they lie so already and nothing moves.
type gathering struct {
	engine.Append
	message  []byte
	from, to int // where the records that were read lie in message
}

// readRecord finds a `records` field of an Append as nearly all come: a one-byte tag and a length that fits. to is
// 0 for any other field, which is readField's. It is most of what reading an append costs besides the records themselves.
func readRecord(b []byte, at int) (value, to int) {
	if b[at] != recordsTag {
		return 0, 0
	}
	var length uint64
	n := 2
	if at+2 < len(b) && b[at+1] >= 0x80 && b[at+2] < 0x80 { // 128 bytes to 16 KiB, in place
		length = uint64(b[at+1]&0x7f) | uint64(b[at+2])<<7
	} else {
		length, n = protowire.ConsumeVarint(b[at+1:])
	}
	if n < 0 || length > uint64(len(b)-at-1-n) {
		return 0, 0
	}
	value = at + 1 + n
	return value, value + int(length)
}

// record takes the next `records` field: where the last byte of its tag lies, which becomes the whole of the tag, where the
// record begins, and where it ends.
func (g *gathering) record(tag, value, to int) *engine.Error {
	g.message[tag] = recordsTag
	if g.Count == 0 {
		g.from, g.to = tag, tag
	}
	length := to - tag
	if g.to != tag {
		copy(g.message[g.to:], g.message[tag:to])
	}
	if err := engine.ScanRecord(g.message[g.to+value-tag : g.to+length]); err != nil {
		if len(g.Faults) == maxFaults {
			return invalidf("records", "more than %d of them are malformed; record %d: %v", maxFaults, g.Count, err)
		}
		from := g.to - g.from
		g.Faults = append(g.Faults, engine.Fault{Index: g.Count, From: from, To: from + length, Err: err})
	}
	g.to += length
	g.Count++
	return nil
}

// done is the Append, to which the caller gives its slab.
func (g *gathering) done() *engine.Append {
	g.Data = g.message[g.from:g.to:g.to]
	return &g.Append
}

func tooLarge(field string, size, limit int) *engine.Error {
	e := invalidf(field, "%d bytes, more than the %d that are taken (max_append_bytes)", size, limit)
	e.Reason = "APPEND_TOO_LARGE"
	return e
}

func invalid(field string, err error) *engine.Error { return invalidf(field, "%v", err) }

func invalidf(field, format string, args ...any) *engine.Error {
	return &engine.Error{Code: engine.CodeInvalidArgument, Field: field, Msg: fmt.Sprintf(format, args...)}
}
