package admin

import (
	"fmt"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// maxRound is how long a delivery loop may go without looking at what there is to do. It looks every 5 s at least, whatever
// happens, so a loop that is quiet for six times that hangs.
const maxRound = 30 * time.Second

// A finding is something about one output, or the buffer, that keeps it from going on.
type finding struct {
	Output string    `json:"output,omitempty"`
	Buffer string    `json:"buffer,omitempty"` // its work, instead
	Since  time.Time `json:"since,omitzero"`   // zero: that is not known
	What   string    `json:"what"`
}

// stuck finds what only a restart can mend, which is all that a liveness probe may ask for: a restart loses what is held in
// memory and does not mend a destination. So a destination that is down, throttles or denies never counts, for however
// long; its retries are progress of the gateway. What counts is a delivery loop that does not turn, and a write that
// ignored its deadline for longer than stallAfter: its key waits behind it for ever.
func stuck(now time.Time, st *engine.Stats, stallAfter time.Duration) []finding {
	var found []finding
	for i := range st.Outputs {
		o := &st.Outputs[i]
		if age(now, o.LastRound) > maxRound {
			found = append(found, finding{Output: o.Name, Since: o.LastRound, What: "its delivery loop hangs"})
		}
		if o.Overdue > 0 && age(now, o.OverdueSince) > stallAfter {
			found = append(found, finding{
				Output: o.Name, Since: o.OverdueSince, What: fmt.Sprintf("%d writes ignore their deadline", o.Overdue),
			})
		}
	}
	return found
}

// failingLetters is a finding where the store of dead letters takes none.
func failingLetters(letters func() engine.LetterStats) []finding {
	if letters == nil {
		return nil
	}
	st := letters()
	if st.Failing == nil {
		return nil
	}
	return []finding{{Buffer: "dead letters", What: st.Failing.Error()}}
}

// failing finds what the buffer cannot do now, what it keeps for outputs that are not configured any more, and outputs that have waited
// for stallAfter with data and without a success. It is told and alerted on, and fails no probe: the other outputs go on, and the
// streams of this one are paused, which is what their producers are told.
func failing(now time.Time, st *engine.Stats, stallAfter time.Duration) []finding {
	var found []finding
	for _, f := range st.Buffer.Failing {
		found = append(found, finding{Buffer: f.Work, Since: f.Since, What: f.Err})
	}
	for _, a := range st.Buffer.Absent {
		found = append(found, finding{
			Output: a.Output, What: fmt.Sprintf("it is not configured any more, and %d records of %d bytes are kept for it", a.Records, a.Bytes),
		})
	}
	for i := range st.Outputs {
		o := &st.Outputs[i]
		since := o.Backlog.Oldest
		if o.LastSuccess.After(since) {
			since = o.LastSuccess
		}
		if o.Backlog.Records == 0 || age(now, since) <= stallAfter {
			continue
		}
		what := fmt.Sprintf("%d records wait", o.Backlog.Records)
		if o.LastError != "" {
			what += ", last error: " + o.LastError
		}
		found = append(found, finding{Output: o.Name, Since: since, What: what})
	}
	return found
}
