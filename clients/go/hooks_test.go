package sluice

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a slow hook has missed is at most one pause and one resume, and leaves it at the newest state.
func TestMailboxMergesPauses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		paused bool   // told last
		posted string // P and R, in turn
		want   string
	}{
		{"nothing", false, "", ""},
		{"pause", false, "P", "P"},
		{"over already", false, "PR", "PR"},
		{"paused again", false, "PRP", "P"},
		{"many", false, "PRPRPR", "PR"},
		{"resume", true, "R", "R"},
		{"resumed and paused", true, "RP", "RP"},
		{"many resumes", true, "RPRPR", "R"},
		{"many of both", true, "RPRPRP", "RP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := mailbox{paused: tt.paused}
			for i, c := range tt.posted {
				if c == 'P' {
					m.addPause(Pause{HeldBytes: uint64(i)})
				} else {
					m.addResume(Resume{HeldBytes: uint64(i)})
				}
			}
			var got string
			box := m.take()
			box.deliver(Hooks{OnPause: func(Pause) { got += "P" }, OnResume: func(Resume) { got += "R" }})
			if got != tt.want {
				t.Errorf("told %q, want %q", got, tt.want)
			}
			after := tt.paused
			if tt.posted != "" {
				after = tt.posted[len(tt.posted)-1] == 'P'
			}
			if m.paused != after || !m.empty() {
				t.Errorf("left %+v", m)
			}
		})
	}
}

func TestMailboxAddsUp(t *testing.T) {
	var m mailbox
	for range 3 {
		m.addDrop(Drop{Reason: DropQueueFull, Records: 1, Bytes: 10})
		m.addDrop(Drop{Reason: DropTooLarge, Records: 2, Bytes: 5})
	}
	for i := range uint64(150) {
		m.addRejection(Rejection{First: 2 * i, Last: 2 * i, Count: 1})
	}
	want := []Drop{{DropQueueFull, 3, 30}, {DropTooLarge, 6, 15}}
	if diff := cmp.Diff(want, m.drops); diff != "" {
		t.Error(diff)
	}
	if n := len(m.rejections); n != maxRejections {
		t.Errorf("%d rejections", n)
	}
	if last := m.rejections[maxRejections-1]; last.First != 198 || last.Last != 298 || last.Count != 51 {
		t.Errorf("the last one: %+v", last)
	}
}
