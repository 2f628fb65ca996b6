package disk

import (
	"sync"
	"weak"

	"github.com/sluicelog/sluice/engine"
)

// names finds the stream of a name, as long as somebody has it: what is read back belongs to the same Stream as what is appended.
// It is safe for concurrent use.
type names struct {
	mu      sync.Mutex // guards what follows
	streams map[streamName]weak.Pointer[engine.Stream]
	peak    int // how many there may be before those that nobody has are looked for
}

// minNames is how many names are not worth a look.
const minNames = 1024

// know notes a stream that appends.
func (n *names) know(s *engine.Stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := nameOf(s)
	if n.streams[name].Value() != s {
		n.put(name, s)
	}
}

// stream gives the stream of a name, or makes it.
func (n *names) stream(name streamName) *engine.Stream {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.streams[name].Value(); s != nil {
		return s
	}
	s := &engine.Stream{Tenant: name.tenant, ID: name.id, Tag: name.tag}
	n.put(name, s)
	return s
}

func (n *names) put(name streamName, s *engine.Stream) {
	if n.streams == nil {
		n.streams = map[streamName]weak.Pointer[engine.Stream]{}
	}
	n.streams[name] = weak.Make(s)
	if len(n.streams) <= max(n.peak, minNames) {
		return
	}
	for name, p := range n.streams {
		if p.Value() == nil {
			delete(n.streams, name)
		}
	}
	n.peak = 2 * len(n.streams)
}
