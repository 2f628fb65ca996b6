package sluice

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// contents gives a block's records, which the tests make of plain text.
func contents(b *block) []string {
	var out []string
	for data := b.data; len(data) > 0; data = data[fieldSize(data):] {
		record, _ := protowire.ConsumeBytes(data[1:])
		out = append(out, string(record))
	}
	return out
}

func newQueue(records, bytes, batchRecords, batchBytes int) *queue {
	return &queue{maxRecords: records, maxBytes: bytes, batchRecords: batchRecords, batchBytes: batchBytes}
}

// drainQueue seals and pops all, as "ticket:[records]".
func drainQueue(q *queue, limit int) []string {
	var out []string
	q.seal()
	for q.ready() {
		b := q.pop(limit)
		out = append(out, fmt.Sprintf("%d%v", b.ticket, contents(b)))
	}
	return out
}

func TestQueueGathersBlocks(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		batchRecords, batchBytes int
		popLimit                 int
		records                  []string
		want                     []string
	}{
		{"nothing", 10, 100, 100, nil, nil},
		{"one block", 10, 100, 100, []string{"a", "b"}, []string{"1[a b]"}},
		{"by count", 2, 100, 100, []string{"a", "b", "c"}, []string{"1[a b]", "3[c]"}},
		{"by bytes", 10, 9, 100, []string{"a", "b", "c", "d"}, []string{"1[a b c]", "4[d]"}},
		{"large record alone", 10, 9, 100, []string{"a", "0123456789", "b"}, []string{"1[a]", "2[0123456789]", "3[b]"}},
		{"cut at pop", 10, 100, 8, []string{"a", "b", "c", "d", "e"}, []string{"1[a b]", "3[c d]", "5[e]"}},
		{"one at least", 10, 100, 1, []string{"a", "b"}, []string{"1[a]", "2[b]"}},
		{"long lengths", 10, 1000, 1000, []string{string(make([]byte, 200)), "b"}, []string{"1[" + string(make([]byte, 200)) + " b]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := newQueue(1000, 1<<20, tt.batchRecords, tt.batchBytes)
			size := 0
			for _, r := range tt.records {
				q.add([]byte(r))
				size += fieldBytes(len(r))
			}
			if q.records != len(tt.records) || q.bytes != size {
				t.Errorf("%d records and %d bytes, want %d and %d", q.records, q.bytes, len(tt.records), size)
			}
			if diff := cmp.Diff(tt.want, drainQueue(q, tt.popLimit)); diff != "" {
				t.Error(diff)
			}
			if q.records != 0 || q.bytes != 0 {
				t.Errorf("%d records and %d bytes left", q.records, q.bytes)
			}
		})
	}
}

func TestQueueBounds(t *testing.T) {
	q := newQueue(3, 10, 10, 100)
	for i, tt := range []struct {
		size int
		want bool
	}{{100, true}, {1, true}, {1, true}, {3, false}, {2, true}, {1, false}} {
		if got := q.fits(tt.size); got != tt.want {
			t.Errorf("%d: fits(%d) = %v with %d records and %d bytes", i, tt.size, got, q.records, q.bytes)
		}
		if tt.want && tt.size < 100 {
			q.add(make([]byte, tt.size))
		}
	}
}

func TestQueueTellsWhenToLook(t *testing.T) {
	q := newQueue(100, 1000, 3, 100)
	for i, want := range []bool{true, false, true, true, false, true, true} { // the first and the last of each block
		if got := q.add([]byte("x")); got != want {
			t.Errorf("add %d: %v", i, got)
		}
	}
	if !q.ready() || !q.open {
		t.Errorf("ready %v, open %v", q.ready(), q.open)
	}
}

func TestQueueDropsTheOldest(t *testing.T) {
	q := newQueue(100, 1000, 2, 100)
	for i := range 7 {
		q.add([]byte(strconv.Itoa(i)))
	}
	for range 3 {
		if n := q.dropOldest(); n != 3 {
			t.Errorf("dropped %d bytes", n)
		}
	}
	q.standIn([]byte("3 dropped"))
	if diff := cmp.Diff([]string{"3[3 dropped]", "4[3]", "5[4 5]", "7[6]"}, drainQueue(q, 100)); diff != "" {
		t.Error(diff)
	}
	q.add([]byte("a")) // the open block, to the last
	q.dropOldest()
	q.add([]byte("b"))
	if diff := cmp.Diff([]string{"9[b]"}, drainQueue(q, 100)); diff != "" || q.records != 0 || q.bytes != 0 {
		t.Errorf("%s%d records, %d bytes", diff, q.records, q.bytes)
	}
}

func TestQueueDoesNotHoldWhatATrickleDoesNotNeed(t *testing.T) {
	q := newQueue(100, 1<<20, 10, 1<<16)
	q.add([]byte("x"))
	q.seal()
	if b := q.pop(100); cap(b.data) > 16 {
		t.Errorf("a block of 3 bytes holds %d", cap(b.data))
	}
}
