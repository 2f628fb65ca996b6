package main

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A slowLog makes each append safe after a while, by itself.
type slowLog struct {
	after time.Duration // 0: never
	err   error

	mu     sync.Mutex // guards what follows
	number int64
}

func (l *slowLog) append(_ int, _ []byte, safe func()) error {
	if l.err != nil || l.after == 0 {
		return l.err
	}
	time.AfterFunc(l.after, func() {
		l.mu.Lock()
		l.number++
		l.mu.Unlock()
		safe()
	})
	return nil
}

func (l *slowLog) commits() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number
}

func (l *slowLog) close() error { return nil }

func TestProduceCountsWhatIsSafe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{after: 300 * time.Millisecond, number: 7}
		// Four appends each: the last is begun within the second, and safe at 1.2 s.
		answer, err := produce(t.Context(), log, payloads(1000, 3), 3, time.Second)
		if want := (appendAnswer{Seconds: 1.2, Bytes: 12_000, Commits: 12}); err != nil || answer != want {
			t.Errorf("%+v (%v), want %+v", answer, err, want)
		}
	})
}

func TestProduceFailsWithTheLog(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		if _, err := produce(t.Context(), &slowLog{err: broken}, payloads(10, 2), 2, time.Second); !errors.Is(err, broken) {
			t.Errorf("a log that refuses: %v", err)
		}
		if _, err := produce(t.Context(), &slowLog{}, payloads(10, 2), 2, time.Second); err == nil {
			t.Error("appends that are never safe count")
		}
	})
}

func TestPayloadsAreBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ size, producers, want int }{
		{4 << 10, 16, 16}, {1 << 20, 1000, payloadMemory >> 20}, {2 * payloadMemory, 3, 1},
	} {
		all := payloads(c.size, c.producers)
		if len(all) != c.want || len(all[0]) != c.size {
			t.Errorf("%+v: %d payloads of %d bytes", c, len(all), len(all[0]))
		}
	}
}

func TestAppendFiguresAreOfPayload(t *testing.T) {
	t.Parallel()
	a := appendAnswer{Seconds: 2, Bytes: 500e6, Commits: 80}
	want := appendFigures{rate: 250, cpu: 3, commits: 40, written: 1.5}
	if got := a.figures(1500*time.Millisecond, 750e6); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAppendRowComparesWithBoth(t *testing.T) {
	t.Parallel()
	bare, buffer, jetStream := appendFigures{rate: 100, cpu: 1}, appendFigures{rate: 80, cpu: 2}, appendFigures{rate: 20, cpu: 8}
	var row, without appendRow
	row.add([]appendFigures{bare, buffer, jetStream})
	without.add([]appendFigures{bare, buffer})
	if r, j := row.Rate.Ratio.Median, row.JetStreamRate.Ratio.Median; r != 0.8 || j != 4 {
		t.Errorf("rate %g of bare and %g of JetStream", r, j)
	}
	if r, j := row.CPU.Ratio.Median, row.JetStreamCPU.Ratio.Median; r != 2 || j != 0.25 {
		t.Errorf("CPU %g of bare and %g of JetStream", r, j)
	}
	if without.Rate.Ratio != row.Rate.Ratio || len(without.JetStreamRate.Gateway) != 0 {
		t.Errorf("without JetStream: %+v", without)
	}
}

func TestVerdictsNameWhatMisses(t *testing.T) {
	t.Parallel()
	var v verdicts
	if got := v.String(); got != "not measured" {
		t.Errorf("none: %s", got)
	}
	v.add(0.7, 0.7, "a")
	if got := v.String(); got != "met by all" {
		t.Errorf("one that meets it: %s", got)
	}
	v.add(0.69, 0.7, "b")
	if got := v.String(); got != "met by 1 of 2, missed with 0.69 (b)" {
		t.Errorf("one that does not: %s", got)
	}
}
