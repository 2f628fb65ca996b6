package sluice

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newWindow holds blocks of the given numbers of records, each of 3 bytes: a, b, c and so on.
func newWindow(counts ...int) *window {
	w := &window{next: 1, cursor: 1}
	letter, ticket := byte('a'), uint64(1)
	for _, n := range counts {
		b := &block{ticket: ticket, count: n}
		for range n {
			b.data = appendField(b.data, []byte{letter})
			letter++
		}
		ticket += uint64(n)
		w.push(b)
	}
	return w
}

func taken(w *window, limit int) []string {
	var out []string
	for b := w.take(limit); b != nil; b = w.take(limit) {
		out = append(out, fmt.Sprintf("%d%v", b.first, contents(b)))
	}
	return out
}

func TestWindowResends(t *testing.T) {
	for _, tt := range []struct {
		name  string
		from  uint64 // what the gateway expects
		limit int
		want  []string
		next  uint64
	}{
		{"all", 1, 100, []string{"1[a b c]", "4[d]", "5[e f]"}, 7},
		{"from nothing", 0, 100, []string{"1[a b c]", "4[d]", "5[e f]"}, 7},
		{"from the middle of a block", 3, 100, []string{"3[c]", "4[d]", "5[e f]"}, 7},
		{"from the start of a block", 4, 100, []string{"4[d]", "5[e f]"}, 7},
		{"cut", 2, 3, []string{"2[b]", "3[c]", "4[d]", "5[e]", "6[f]"}, 7},
		{"one at least", 5, 1, []string{"5[e]", "6[f]"}, 7},
		{"nothing", 7, 100, nil, 7},
		{"beyond", 20, 100, nil, 20},
		{"nonsense", 1<<64 - 1, 100, []string{"1[a b c]", "4[d]", "5[e f]"}, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWindow(3, 1, 2)
			if w.take(100) != nil {
				t.Error("something is left to send on the first connection")
			}
			for range 2 { // the second connection, and a third
				w.resend(tt.from)
				if diff := cmp.Diff(tt.want, taken(w, tt.limit)); diff != "" {
					t.Error(diff)
				}
				if w.records != 6 || w.bytes != 18 || w.next != tt.next || w.cursor != tt.next {
					t.Errorf("%+v", w)
				}
			}
			w.push(&block{ticket: 7, count: 1, data: appendField(nil, []byte("new"))})
			if w.next != tt.next+1 || w.ack(w.next-1) != 7 || w.records != 0 || w.bytes != 0 {
				t.Errorf("after one more and an ack: %+v", w)
			}
		})
	}
}

func TestWindowAcks(t *testing.T) {
	w := newWindow(3, 1, 2)
	for _, step := range []struct {
		ack           uint64
		want          int
		lowest        uint64
		bytes         int
		ticket, acked uint64
	}{
		{0, 0, 1, 18, 1, 0},
		{2, 2, 3, 12, 3, 2},
		{1, 0, 3, 12, 3, 2}, // moves back
		{2, 0, 3, 12, 3, 2},
		{4, 2, 5, 6, 5, 4},
		{1<<64 - 1, 2, 7, 0, 0, 6}, // more than was sent
		{6, 0, 7, 0, 0, 6},
	} {
		if got := w.ack(step.ack); got != step.want {
			t.Errorf("ack(%d) released %d, want %d", step.ack, got, step.want)
		}
		ticket, _ := w.ticket()
		if w.lowest() != step.lowest || w.bytes != step.bytes || ticket != step.ticket || w.acked != step.acked {
			t.Errorf("after ack(%d): %+v, ticket %d", step.ack, w, ticket)
		}
	}
}

func TestWindowAckOfWhatIsBeingResent(t *testing.T) {
	w := newWindow(3, 3)
	w.resend(1)
	w.take(3) // the first record
	w.ack(4)
	if diff := cmp.Diff([]string{"5[e f]"}, taken(w, 100)); diff != "" {
		t.Error(diff)
	}
}

func TestWindowReplaces(t *testing.T) {
	w := newWindow(1, 1)
	w.resend(1)
	w.replace(w.take(1), []byte("report"))
	w.resend(1)
	if diff := cmp.Diff([]string{"1[report]", "2[b]"}, taken(w, 100)); diff != "" {
		t.Error(diff)
	}
	if w.bytes != 11 || w.ack(2) != 2 || w.bytes != 0 {
		t.Errorf("%+v", w)
	}
}
