package sluice_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestDropNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.paused = true
		var told uint64
		s := open(t, newClient(t, g), sluice.StreamOptions{
			QueueRecords: 10, BatchRecords: 4, WhenFull: sluice.DropNewest,
			Hooks: sluice.Hooks{OnDrop: func(d sluice.Drop) {
				if d.Reason != sluice.DropQueueFull {
					t.Errorf("reason %q", d.Reason)
				}
				told += d.Records
			}},
		})
		for i := 1; i <= 25; i++ {
			if err := s.Log(t.Context(), strconv.Itoa(i)); (i > 10) != errors.Is(err, sluice.ErrQueueFull) {
				t.Errorf("Log %d: %v", i, err)
			}
		}
		settle(time.Second)
		if st := s.Stats(); st.Added != 10 || st.QueuedRecords != 10 || st.Dropped.QueueFull != 15 || told != 15 {
			t.Errorf("stats %+v, told %d", st, told)
		}
		g.set(func() { g.paused = false })
		settle(time.Second)
		log(t, s, 26, 27)
		closeClean(t, s)
		want := append(numbers(1, 10), "sluice: 15 records dropped: queue full", "26", "27")
		wantTaken(t, g, "s", want, 0)
		wantReport(t, g, map[string]string{
			"sluice.dropped.records": "15", "sluice.dropped.bytes": strconv.Itoa(15 * 17), "sluice.dropped.reason": "queue full",
		})
	})
}

// wantReport looks for the one report of drops.
func wantReport(t *testing.T, g *gateway, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	g.saw(func() {
		for _, a := range g.appends {
			for _, r := range a.GetRecords() {
				if !strings.HasPrefix(r.GetBody().GetStringValue(), "sluice: ") {
					continue
				}
				if r.GetSeverityNumber() != sluicev1.SeverityNumber_SEVERITY_NUMBER_WARN || r.GetTimeUnixNano() == 0 {
					t.Errorf("report %v", r)
				}
				for _, kv := range r.GetAttributes() {
					got[kv.GetKey()] = kv.GetValue().GetStringValue()
					if _, ok := kv.GetValue().GetValue().(*sluicev1.AnyValue_IntValue); ok {
						got[kv.GetKey()] = strconv.FormatInt(kv.GetValue().GetIntValue(), 10)
					}
				}
			}
		}
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes of the report: %s", diff)
	}
}

func TestDropOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.paused = true
		s := open(t, newClient(t, g), sluice.StreamOptions{QueueRecords: 10, BatchRecords: 4, WhenFull: sluice.DropOldest})
		log(t, s, 1, 25)
		settle(time.Second)
		if st := s.Stats(); st.Added != 25 || st.QueuedRecords != 10 || st.Dropped.QueueFull != 15 {
			t.Errorf("stats %+v", st)
		}
		g.set(func() { g.paused = false })
		settle(time.Second)
		log(t, s, 26, 27)
		closeClean(t, s)
		want := append([]string{"sluice: 15 records dropped: queue full"}, numbers(16, 27)...)
		wantTaken(t, g, "s", want, 0)
		if st := s.Stats(); st.Acked+st.Dropped.Total() != st.Added+st.Reports || st.LastAcked != 13 {
			t.Errorf("stats %+v", st)
		}
	})
}

// A flush is not held up by records that were dropped before they could be sent.
func TestFlushOfDroppedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.paused = true
		s := open(t, newClient(t, g), sluice.StreamOptions{QueueRecords: 4, WhenFull: sluice.DropOldest})
		log(t, s, 1, 3)
		flushed := make(chan error, 1)
		go func() { flushed <- s.Flush(context.Background()) }()
		synctest.Wait()
		log(t, s, 4, 6)
		synctest.Wait()
		if len(flushed) > 0 {
			t.Error("flushed while a record was queued")
		}
		log(t, s, 7, 7)
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		g.set(func() { g.paused = false })
		closeClean(t, s)
	})
}

func TestBlockWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.paused = true
		s := open(t, newClient(t, g), sluice.StreamOptions{QueueBytes: 170, BatchRecords: 4})
		log(t, s, 1, 9) // 16 bytes each
		log(t, s, 10, 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Log(ctx, "never"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Log into a full queue: %v", err)
		}
		go func() {
			time.Sleep(time.Hour)
			g.set(func() { g.paused = false })
		}()
		log(t, s, 11, 100)
		closeClean(t, s)
		wantTaken(t, g, "s", numbers(1, 100), 0)
	})
}

func TestBlockedLogIsReleasedByClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.paused = true
		s := open(t, newClient(t, g), sluice.StreamOptions{QueueRecords: 1})
		log(t, s, 1, 1)
		blocked := make(chan error, 1)
		go func() { blocked <- s.Log(context.Background(), "2") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		report, err := s.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || report.Unsent != 1 {
			t.Errorf("Close: %+v, %v", report, err)
		}
		if err := <-blocked; !errors.Is(err, sluice.ErrClosed) {
			t.Errorf("Log: %v", err)
		}
	})
}

func TestTooLargeARecordIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.maxAppend = 4096
		bytes := map[sluice.DropReason]uint64{}
		s := open(t, newClient(t, g), sluice.StreamOptions{Hooks: sluice.Hooks{OnDrop: func(d sluice.Drop) { bytes[d.Reason] += d.Bytes }}})
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		large := &sluicev1.LogRecord{TimeUnixNano: 1, SeverityText: strings.Repeat("x", 5000)}
		for range 2 {
			if err := s.Add(t.Context(), large); !errors.Is(err, sluice.ErrTooLarge) {
				t.Errorf("Add: %v", err)
			}
		}
		if err := s.Add(t.Context(), &sluicev1.LogRecord{SeverityText: "\xff"}); err == nil {
			t.Error("a record that is not UTF-8 was taken")
		}
		log(t, s, 1, 2)
		closeClean(t, s)
		wantTaken(t, g, "s", numbers(1, 2), 0)
		if st := s.Stats(); st.Dropped.TooLarge != 2 || st.Dropped.Malformed != 1 || st.LastAcked != 2 {
			t.Errorf("stats %+v", st)
		}
		size := uint64(1 + protowire.SizeBytes(proto.Size(large))) // as an append's field
		if diff := cmp.Diff(map[sluice.DropReason]uint64{sluice.DropTooLarge: 2 * size, sluice.DropMalformed: 0}, bytes); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// No append goes over what the gateway takes, also where it takes less than when the records were queued.
func TestAppendsAreSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.maxAppend = 3000
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		var want []string
		for i := range 100 { // before anything is known of the gateway
			want = append(want, strconv.Itoa(i)+strings.Repeat(".", 400))
			if err := s.Log(t.Context(), want[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantTaken(t, g, "s", want, 0)
		g.saw(func() {
			for _, a := range g.appends {
				if n := (&sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Append{Append: a}}); len(a.GetRecords()) > 7 {
					t.Errorf("append of %d records: %v", len(a.GetRecords()), n)
				}
			}
			if len(g.appends) > 16 {
				t.Errorf("%d appends for 100 records of 420 bytes", len(g.appends))
			}
		})
		closeClean(t, s)
	})
}

// A full append is no longer than BatchBytes with all that stands around its records: the gateway's memory comes in powers of
// two, and a little more would take twice as much.
func TestAppendsFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{Linger: time.Minute})
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3000 {
			if err := s.Log(t.Context(), strings.Repeat("x", 238)); err != nil { // 256 bytes, a power of two as BatchBytes is
				t.Fatal(err)
			}
		}
		closeClean(t, s)
		g.saw(func() {
			for i, a := range g.appends {
				n := proto.Size(&sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Append{Append: a}})
				if n > sluice.DefaultBatchBytes || n < sluice.DefaultBatchBytes-2*300 && i < len(g.appends)-1 {
					t.Errorf("append %d of %d has %d bytes", i, len(g.appends), n)
				}
			}
		})
	})
}

// A record that has its sequence, and is too large for the next gateway, is replaced by a report, so that no gap opens.
func TestGatewayThatTakesLessThanTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.hold = true
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		log(t, s, 1, 2)
		if err := s.Log(t.Context(), strings.Repeat("x", 5000)); err != nil {
			t.Fatal(err)
		}
		log(t, s, 3, 4)
		settle(time.Second)
		g.set(func() { g.maxAppend = 4096 })
		settle(time.Second)
		g.forget()
		settle(time.Minute)
		g.set(func() { g.hold = false })
		closeClean(t, s)
		wantTaken(t, g, "s", []string{"1", "2", "sluice: 1 record dropped: too large", "3", "4"}, 0)
		if st := s.Stats(); st.Dropped.TooLarge != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

// The window is never smaller than the gateway's limit and one append more: only a pause stops the sending.
func TestWindowFollowsTheGatewaysLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.hold, g.limit, g.maxAppend = true, 100_000, 10_000
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		body := strings.Repeat("x", 1000)
		for range 1000 {
			if err := s.Log(t.Context(), body); err != nil {
				t.Fatal(err)
			}
		}
		settle(time.Second)
		if st := s.Stats(); st.WindowBytes != 110_000 || st.UnackedBytes > 110_000 || st.UnackedBytes < 100_000 {
			t.Errorf("stats %+v", st)
		}
		g.set(func() { g.limit = 200_000 })
		settle(time.Second)
		if st := s.Stats(); st.UnackedBytes > 210_000 || st.UnackedBytes < 200_000 {
			t.Errorf("stats %+v", st)
		}
		g.set(func() { g.hold = false })
		closeClean(t, s)
	})
}
