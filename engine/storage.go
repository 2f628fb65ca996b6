package engine

// A Storer is a buffer that has a room of its own, apart from memory. Its methods may be called concurrently, and with the
// stream's lock held.
type Storer interface {
	// Storage is how many bytes of the room are in use, and how many there are; a limit of 0 is no bound.
	Storage() (used, limit int64)
}

// fullness is the part in use of the room that a durable buffer has for records to these outputs: of all of it, or of the share of
// the fullest of them, where it is one that blocks. A stream holds next to nothing there, as it is acked when the disk has it; so
// no limit on what it holds would keep it from filling the disk. In memory it is 0: there shares move the limits.
func (in *intake) fullness(outputs OutputSet) float64 {
	e := in.engine
	if !e.buffer.Durable() {
		return 0
	}
	full := 0.0
	if s, ok := e.buffer.(Storer); ok {
		if used, limit := s.Storage(); limit > 0 {
			full = float64(used) / float64(limit)
		}
	}
	for i := range outputs.All() {
		if d := e.outputs[i]; !d.DropOldest {
			full = max(full, float64(d.share.Used())/float64(d.share.Limit()))
		}
	}
	return full
}
