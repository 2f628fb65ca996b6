package enginetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
)

// Field numbers on the wire, as in proto/sluice/v1.
const (
	recordsField            = 2 // of Append
	timeField               = 1 // of LogRecord, and so on
	severityField           = 2
	bodyField               = 5
	attributesField         = 6
	resourceAttributesField = 1 // of Resource
	keyField                = 1 // of KeyValue
	valueField              = 2
	stringField             = 1 // of AnyValue
)

// epoch is when record 0 of every stream happened; record n happened n milliseconds later.
func epoch() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// A Mint makes chunks and counts how often each was freed. A freed chunk's bytes are overwritten, so that whoever still
// reads them fails, and races as the race detector sees it. Its zero value is ready; it is safe for concurrent use.
type Mint struct {
	slabs engine.SlabPool

	mu    sync.Mutex // guards what follows
	frees map[*engine.Chunk]int
}

// Chunk makes a chunk of one record a body, the first with sequence first, that goes to the outputs. It lies in a slab of
// its own, arrived now, and is of epoch 1. The caller holds its one reference, and may set its other fields until it hands
// it on.
func (m *Mint) Chunk(s *engine.Stream, first uint64, outputs engine.OutputSet, bodies ...string) *engine.Chunk {
	records := make([][]byte, len(bodies))
	for i, body := range bodies {
		records[i] = Record(first+uint64(i), body)
	}
	return m.ChunkOf(s, first, outputs, records...)
}

// ChunkOf is Chunk for records that are made already, in wire form.
func (m *Mint) ChunkOf(s *engine.Stream, first uint64, outputs engine.OutputSet, records ...[]byte) *engine.Chunk {
	size := 0
	for _, r := range records {
		size += 1 + protowire.SizeBytes(len(r))
	}
	slab := m.slabs.Get(size)
	for _, r := range records {
		slab.B = protowire.AppendTag(slab.B, recordsField, protowire.BytesType)
		slab.B = protowire.AppendBytes(slab.B, r)
	}
	c := &engine.Chunk{
		Stream:  s,
		Epoch:   1,
		First:   first,
		Last:    first + uint64(len(records)) - 1,
		Count:   len(records),
		Outputs: outputs,
		Data:    slab.B,
		Arrived: time.Now(),

		Resumable: true,
	}
	c.Own(slab, m.freed)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frees == nil {
		m.frees = make(map[*engine.Chunk]int)
	}
	m.frees[c] = 0
	return c
}

func (m *Mint) freed(c *engine.Chunk) {
	b := c.Slab().B
	for i := range b {
		b[i] = 0xff
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frees[c]++
}

// Frees is how often the chunk was freed.
func (m *Mint) Frees(c *engine.Chunk) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.frees[c]
}

// Held is how many of the chunks were not freed yet.
func (m *Mint) Held() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := 0
	for _, frees := range m.frees {
		if frees == 0 {
			held++
		}
	}
	return held
}

// Check fails the test unless every chunk was freed exactly once.
func (m *Mint) Check(t testing.TB) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, frees := range m.frees {
		if frees != 1 {
			t.Errorf("chunk at sequence %d of stream %s, for outputs %#b, was freed %d times, want once",
				c.First, c.Stream.ID, c.Outputs, frees)
		}
	}
}

// Record is a LogRecord in wire form: a time that rises with its sequence, severity INFO, a string body, and attributes
// given as keys and values in turn.
func Record(sequence uint64, body string, attributes ...string) []byte {
	at := epoch().Add(time.Duration(sequence) * time.Millisecond)
	b := protowire.AppendTag(nil, timeField, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, uint64(at.UnixNano()))
	b = protowire.AppendTag(b, severityField, protowire.VarintType)
	b = protowire.AppendVarint(b, 9)
	b = protowire.AppendTag(b, bodyField, protowire.BytesType)
	b = protowire.AppendBytes(b, stringValue(body))
	return appendAttributes(b, attributesField, attributes)
}

// Resource is an OTLP Resource in wire form, of attributes given as keys and values in turn.
func Resource(attributes ...string) []byte {
	return appendAttributes(nil, resourceAttributesField, attributes)
}

func appendAttributes(dst []byte, field protowire.Number, attributes []string) []byte {
	for i := 0; i+1 < len(attributes); i += 2 {
		kv := protowire.AppendTag(nil, keyField, protowire.BytesType)
		kv = protowire.AppendString(kv, attributes[i])
		kv = protowire.AppendTag(kv, valueField, protowire.BytesType)
		kv = protowire.AppendBytes(kv, stringValue(attributes[i+1]))
		dst = protowire.AppendTag(dst, field, protowire.BytesType)
		dst = protowire.AppendBytes(dst, kv)
	}
	return dst
}

func stringValue(s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, stringField, protowire.BytesType), s)
}

// Body is the record's body where it is a string, or says what is wrong with it: a freed record has none.
func Body(r engine.Record) string {
	body, ok := lastBytes(r.Wire, bodyField)
	if !ok {
		return fmt.Sprintf("no body in %x", r.Wire)
	}
	text, ok := lastBytes(body, stringField)
	if !ok {
		return fmt.Sprintf("no string in body %x", body)
	}
	return string(text)
}

// lastBytes is the last field of that number and of wire type bytes in a message.
func lastBytes(b []byte, field protowire.Number) (found []byte, ok bool) {
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeField(b)
		if size < 0 {
			return nil, false
		}
		if n == field && typ == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(b)
			found, _ = protowire.ConsumeBytes(b[tag:])
			ok = true
		}
		b = b[size:]
	}
	return found, ok
}

// Bodies are the bodies of the chunk's records, in order.
func Bodies(c *engine.Chunk) []string {
	bodies := make([]string, 0, c.Count)
	for _, r := range c.Records() {
		bodies = append(bodies, Body(r))
	}
	return bodies
}
