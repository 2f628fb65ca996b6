package engine

// A cutter cuts chunks into spans by an output's keys, and measures them as it does. Its loop alone uses it.
type cutter struct {
	keyer    Keyer    // nil: one key
	measurer Measurer // nil: wire bytes

	key    []byte
	last   string // the last key, so that equal keys in a row are one string
	groups map[string]uint32
	ids    []uint32 // of the records in hand, by their place in the selection
	spans  []Span
}

func newCutter(out Output) cutter {
	keyer, _ := out.(Keyer)
	measurer, _ := out.(Measurer)
	return cutter{keyer: keyer, measurer: measurer, groups: map[string]uint32{}}
}

// uncut is what of a chunk the cursor just gave.
func uncut(cur Cursor, p Part, c *Chunk) Span {
	return Span{
		Cursor: cur, Pos: p.Pos, Stream: c.Stream, Records: p.Records,
		Bytes: bytesOf(c, p.Records), Charge: int(c.Charge()), Arrived: c.Arrived, Urgent: c.Urgent,
	}
}

// bytesOf is how many wire bytes some of a chunk's records have, pro rata.
func bytesOf(c *Chunk, some Selection) int {
	return int(int64(len(c.Data)) * int64(some.Len()) / int64(c.Count))
}

// cut gives the spans of a span, whose chunk is c, by the keys of this output. They are valid until the next call.
func (k *cutter) cut(s Span, c *Chunk) []Span {
	k.spans = k.spans[:0]
	switch {
	case k.keyer == nil:
		s.Key = ""
	case !k.keyer.PerRecord(c):
		k.key = k.keyer.AppendKey(k.key[:0], c, Record{})
		s.Key = k.intern(k.key)
	default:
		return k.byRecord(s, c)
	}
	if k.measurer != nil {
		s.Bytes = k.measure(s.Records, c)
	}
	k.spans = append(k.spans, s)
	return k.spans
}

// measure is the sum of the chosen records.
func (k *cutter) measure(chosen Selection, c *Chunk) (sum int) {
	place := 0
	for i, r := range c.Records() {
		if place == chosen.Len() {
			break
		}
		if i == chosen.At(place) {
			place++
			sum += k.measurer.Measure(c, r)
		}
	}
	return sum
}

// byRecord sorts the records by key, counting: one index list for all spans.
func (k *cutter) byRecord(s Span, c *Chunk) []Span {
	clear(k.groups)
	k.ids = k.ids[:0]
	place := 0
	for i, r := range c.Records() {
		if place == s.Records.Len() {
			break
		}
		if i != s.Records.At(place) {
			continue
		}
		place++
		k.key = k.keyer.AppendKey(k.key[:0], c, r)
		id, ok := k.groups[string(k.key)]
		if !ok {
			id = uint32(len(k.spans))
			part := s
			part.Key, part.Bytes, part.Records = string(k.key), 0, Selection{}
			k.groups[part.Key] = id
			k.spans = append(k.spans, part)
		}
		k.ids = append(k.ids, id)
		if k.measurer == nil {
			k.spans[id].Bytes += len(r.Wire)
		} else {
			k.spans[id].Bytes += k.measurer.Measure(c, r)
		}
		k.spans[id].Records.to++
	}
	if len(k.spans) == 1 {
		k.spans[0].Records = s.Records
		if k.measurer == nil {
			k.spans[0].Bytes = s.Bytes
		}
		return k.spans
	}
	k.spread(s.Records)
	return k.spans
}

// spread lays the index list out by span, each span's part in ascending order.
func (k *cutter) spread(all Selection) {
	index := make([]uint32, all.Len())
	from := uint32(0)
	for i := range k.spans {
		n := k.spans[i].Records.to
		k.spans[i].Records = Selection{list: index, from: from, to: from}
		from += n
	}
	for place, id := range k.ids {
		sel := &k.spans[id].Records
		index[sel.to] = uint32(all.At(place))
		sel.to++
	}
}

func (k *cutter) intern(key []byte) string {
	if string(key) != k.last {
		k.last = string(key)
	}
	return k.last
}
