package disk

import (
	"slices"
	"time"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A Report is what Inspect found.
type Report struct {
	Checkpoint uint64    `json:"checkpoint"` // its number; 0: none can be read, and nothing is known of outputs and streams
	Written    time.Time `json:"written,omitzero"`

	Outputs    []OutputReport  `json:"outputs"`
	Streams    []StreamReport  `json:"streams"`
	Segments   []SegmentReport `json:"segments"`   // the oldest first
	Idle       []seglog.Kept   `json:"idle"`       // files for use again
	Quarantine []seglog.Kept   `json:"quarantine"` // segments with damage that nobody needs

	Damage []Damage `json:"damage"` // what was committed and cannot be read
	Cut    []Damage `json:"cut"`    // what was under way, and is cut by who opens the log: nobody was told of it
	// Missing is what some output has yet to come to and no segment has: it was for others, and is freed, or a segment is lost.
	Missing []Damage `json:"missing"`

	Verified bool  `json:"verified"`   // all was read
	Read     int64 `json:"read_bytes"` // of the log
}

// An OutputReport is what is known of an output, configured or not.
type OutputReport struct {
	Name     string       `json:"name"`
	ID       int          `json:"id"`      // its bit in the frames
	Read     seglog.Place `json:"read"`    // the first entry that it did not read
	Since    seglog.LSN   `json:"since"`   // what is older is for it by its routes, which are not known here
	Given    int          `json:"given"`   // chunks in front of that which it is not done with
	Chunks   int          `json:"chunks"`  // all that it has yet to deliver, those included
	Records  int64        `json:"records"` // of them
	Bytes    int64        `json:"bytes"`   // of them, as charged
	Oldest   time.Time    `json:"oldest,omitzero"`
	Lost     int64        `json:"lost"`     // records that it was not done with and whose segment is not there
	Segments []uint64     `json:"segments"` // that it needs something of: they are not freed before it is done with that
}

// AtMost reports whether its backlog is what is said at most: some of that may be for others.
func (o *OutputReport) AtMost() bool { return o.Read.LSN < o.Since }

// A StreamReport is what is known of a stream that has something in the buffer, or may come back to go on where it was.
type StreamReport struct {
	Tenant string           `json:"tenant"`
	ID     string           `json:"id"`
	Tag    string           `json:"tag"`
	Epoch  uint64           `json:"epoch,string"` // 0: nobody comes back to it. Often it is nanoseconds, more than numbers in JSON hold
	Last   uint64           `json:"last"`         // sequence that is stored
	Seen   time.Time        `json:"seen"`
	Needed map[string]int64 `json:"needed"` // bytes, as charged, by output
}

// Stored is how many bytes the buffer keeps of it: the most that any output needs.
func (s *StreamReport) Stored() (most int64) {
	for _, bytes := range s.Needed {
		most = max(most, bytes)
	}
	return most
}

// A SegmentReport is what is known of a segment.
type SegmentReport struct {
	Number  uint64     `json:"number"`
	Name    string     `json:"name"`
	First   seglog.LSN `json:"first"`
	Next    seglog.LSN `json:"next"` // behind its last entry
	Entries int64      `json:"entries"`
	Bytes   int64      `json:"bytes"` // of the file that are filled
	Size    int64      `json:"size"`  // of the file
	Sealed  bool       `json:"sealed"`
}

// Damage is a [seglog.Damage].
type Damage struct {
	Segment uint64     `json:"segment"`
	Offset  int64      `json:"offset"`
	From    seglog.LSN `json:"from"` // entries that are lost, up to before To; equal where there are none, or that is not known
	To      seglog.LSN `json:"to"`
	Reason  string     `json:"reason"`
}

func (d Damage) String() string { return seglog.Damage(d).String() }

func damages(all []seglog.Damage) []Damage {
	out := make([]Damage, len(all))
	for i, d := range all {
		out[i] = Damage(d)
	}
	return out
}

// NeededBy gives the names of the outputs that need something of a segment.
func (r *Report) NeededBy(segment uint64) (outputs []string) {
	for i := range r.Outputs {
		if slices.Contains(r.Outputs[i].Segments, segment) {
			outputs = append(outputs, r.Outputs[i].Name)
		}
	}
	return outputs
}

// Lost is how many records are lost of those that outputs were given.
func (r *Report) Lost() (records int64) {
	for i := range r.Outputs {
		records += r.Outputs[i].Lost
	}
	return records
}

// Good reports whether nothing is damaged, as far as was looked. What a crash leaves is good where every commit was synced.
func (r *Report) Good() bool {
	return len(r.Damage) == 0 && r.Lost() == 0 && (r.Checkpoint > 0 || len(r.Segments) == 0)
}
