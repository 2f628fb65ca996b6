package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/schedule"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

const (
	lineText     = 1000                              // bytes of a record's message
	linePerPut   = 1_048_576 / (lineText + perEvent) // records that fill a request
	lineLatency  = 5 * time.Second                   // of every call
	linePatience = lineLatency + 2*time.Second       // for an answer
)

// A line is an engine with the sync scheduler, the output, and a strict CloudWatch that notes when each put was signed.
type line struct {
	*cwfake.Server
	t        *testing.T
	http     *http.Server
	engine   *engine.Engine
	sessions map[string]*engine.Session
	sent     map[string]int
	tooNew   func(number int) bool // records that AWS does not take; nil: none
	refused  int
	started  sync.WaitGroup

	mu     sync.Mutex  // guards what follows
	signed []time.Time // of each put, to the second
}

// newLine starts a line. The environment must be set outside of the bubble. A request takes so many bytes, at most.
func newLine(t *testing.T, o Options, retry engine.Retry, most int) *line {
	l := &line{t: t, Server: cwfake.New(cwfake.Options{Latency: lineLatency, Sequence: lineSequence})}
	l.sessions, l.sent = map[string]*engine.Session{}, map[string]int{}
	pipe := enginetest.NewPipe()
	l.http = &http.Server{Handler: http.HandlerFunc(l.serve), ReadHeaderTimeout: time.Minute}
	l.started.Go(func() { _ = l.http.Serve(pipe) })
	o.Endpoint, o.Dial, o.Stream, o.ResponseTimeout = "http://"+pipe.Addr().String(), pipe.DialContext, "{tag}", linePatience
	out := newOutput(t, o)
	out.limits.bytes = most
	limits := out.Batching()
	var err error
	l.engine, err = engine.New(engine.Options{
		NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) { return memory.New(outputs), nil },
		Limits:    engine.Limits{Engine: 256 << 20, Stream: 64 << 20},
		Outputs: []engine.OutputOptions{
			{Name: "aws", Output: out, Scheduler: schedule.NewSync(limits), Linger: limits.Linger, Retry: retry},
		},
		Routes: []engine.Route{{Match: "**", Outputs: []string{"aws"}}},
	})
	must(t, err)
	return l
}

// serve notes when a put was signed, and has the fake answer it.
func (l *line) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "PutLogEvents") {
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil {
			l.t.Error(err)
		}
		l.mu.Lock()
		l.signed = append(l.signed, at)
		l.mu.Unlock()
	}
	l.ServeHTTP(w, r)
}

func lineTarget(stream string) cwfake.Target {
	return cwfake.Target{Region: testRegion, Group: testGroup, Stream: stream}
}

// lineSequence is a [cwfake.Sequence].
func lineSequence(message string) (source string, number uint64, ok bool) {
	source, rest, _ := strings.Cut(message, " ")
	digits, _, _ := strings.Cut(rest, " ")
	number, err := strconv.ParseUint(digits, 10, 64)
	return source, number, err == nil
}

// fill appends records to a stream that fill so many requests, and one: only with more than it takes is a request full.
func (l *line) fill(stream string, requests int) {
	l.t.Helper()
	const atOnce = linePerPut / 2
	for range requests * linePerPut / atOnce {
		l.append(stream, atOnce, lineText)
	}
	l.append(stream, 1, lineText)
}

// append appends records of a size to a stream, at once.
func (l *line) append(stream string, count, size int) {
	l.t.Helper()
	s := l.sessions[stream]
	if s == nil {
		var err error
		s, err = l.engine.Open(engine.Open{Tenant: "default", StreamID: stream, Tag: stream, Epoch: 1})
		must(l.t, err)
		l.sessions[stream] = s
	}
	slab := l.engine.Slabs().Get(count * (size + 50))
	a := &engine.Append{First: uint64(l.sent[stream] + 1), Count: count, Slab: slab}
	for range count {
		l.sent[stream]++
		text, at := fmt.Sprintf("%s %d ", stream, l.sent[stream]), time.Now()
		if l.tooNew != nil && l.tooNew(l.sent[stream]) {
			at = at.Add(3 * time.Hour)
			l.refused++
		}
		r := record(at, text+strings.Repeat("x", size-len(text)))
		slab.B = protowire.AppendBytes(protowire.AppendTag(slab.B, 2, protowire.BytesType), r)
	}
	a.Data = slab.B
	must(l.t, s.Append(l.t.Context(), a))
}

// finish drains and closes all.
func (l *line) finish() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	must(l.t, l.engine.Drain(ctx))
	left, err := l.engine.Close(ctx)
	if err != nil || len(left) > 0 {
		l.t.Errorf("close: %v, undelivered %+v", err, left)
	}
	must(l.t, errors.Join(l.http.Close(), l.Close()))
	l.started.Wait()
	if n := l.Stats().MaxInFlight; n != 1 {
		l.t.Errorf("%d puts were in flight at once", n)
	}
}

// wantStored checks that every record is stored once, in order, but for those that AWS does not take.
func (l *line) wantStored() {
	l.t.Helper()
	refused := 0
	for stream, sent := range l.sent {
		got := l.Order(lineTarget(stream))
		refused += sent - int(got.Events)
		if got.Reordered+got.Duplicates+got.Unnumbered != 0 || got.Missing > uint64(l.refused) {
			l.t.Errorf("%s: %d of %d are stored, %+v", stream, got.Events, sent, got)
		}
	}
	if refused != l.refused {
		l.t.Errorf("%d records are not stored, want %d", refused, l.refused)
	}
}

// puts are the calls of PutLogEvents, in order.
func (l *line) puts() []cwfake.Call {
	return slices.DeleteFunc(l.inOrder(), func(c cwfake.Call) bool { return !cwfake.Puts(c) })
}

func (l *line) inOrder() []cwfake.Call {
	calls := l.Calls()
	slices.SortFunc(calls, func(a, b cwfake.Call) int { return int(a.Number - b.Number) })
	return calls
}

// wantPrepared checks that a full put was signed while the one before it was under way, and began at the instant at which that
// ended.
func (l *line) wantPrepared(puts []cwfake.Call, i int) {
	l.t.Helper()
	before, put := puts[i-1], puts[i]
	if put.Events == 1 { // the last of its stream
		return
	}
	if !put.Start.Equal(before.End) {
		l.t.Errorf("put %d began %v after the end of the one before", i, put.Start.Sub(before.End))
	}
	if at := before.Start.Truncate(time.Second); !l.signed[i].Equal(at) {
		l.t.Errorf("put %d was signed at %v, the one before it ran from %v to %v", i, l.signed[i], before.Start, before.End)
	}
}

// full is what one request takes.
func full() int {
	most := awsLimits()
	return most.bytes
}

// While much waits the next request is signed before the one under way is answered, and sent at that instant. Each is full.
func TestTheNextPutIsPrepared(t *testing.T) {
	environment(t)
	for name, streams := range map[string][]string{"one log stream": {"a"}, "several": {"a", "b", "c"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, Options{}, engine.Retry{}, full())
				const each = 4
				for _, s := range streams {
					must(t, l.CreateStream(lineTarget(s)))
					l.fill(s, each)
				}
				l.finish()
				l.wantStored()
				puts := l.puts()
				fulls := 0
				for i, put := range puts {
					if put.Events == linePerPut {
						fulls++
					}
					if i > 0 {
						l.wantPrepared(puts, i)
					}
				}
				if fulls != each*len(streams) || len(puts) != fulls+len(streams) {
					t.Errorf("%d puts, %d of which are full; want %d of these, and one for each stream", len(puts), fulls, each*len(streams))
				}
			})
		})
	}
}

// After a put that was not taken nothing of the next one is sent before it: it is tried again first, alone. What was prepared
// goes behind it.
func TestNothingIsSentBeforeWhatFailed(t *testing.T) {
	environment(t)
	for name, fault := range map[string]cwfake.Fault{
		"throttled": cwfake.Throttle(), "throttled, answer cut": cwfake.Cut(cwfake.Throttle()), "reset": cwfake.ResetBefore(),
		"timed out": cwfake.HangBefore(), "not available": cwfake.Unavailable(), "denied": cwfake.Denied(), "empty": cwfake.EmptyOK(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, Options{}, engine.Retry{}, full())
				must(t, l.CreateStream(lineTarget("a")))
				l.Queue(cwfake.PutLogEvents, cwfake.Fault{}, fault)
				l.fill("a", 5)
				l.finish()
				l.wantStored()
				puts := l.puts()
				if len(puts) != 7 || puts[1].Result == cwfake.ResultOK {
					t.Fatalf("%d puts, the second: %s", len(puts), puts[1].Result)
				}
				for i := range puts {
					if i != 0 && i != 2 && (i != 3 || name != "denied") { // a parked key is tried alone
						l.wantPrepared(puts, i)
					}
				}
				if puts[2].Start.Before(puts[1].End) || l.signed[2].Before(puts[1].End.Truncate(time.Second)) {
					t.Errorf("tried again at %v, signed at %v, after a failure at %v", puts[2].Start, l.signed[2], puts[1].End)
				}
			})
		})
	}
}

// A put of which AWS does not take some events is no failure: the next one goes at once.
func TestAfterRejectedEvents(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, Options{}, engine.Retry{}, full())
		must(t, l.CreateStream(lineTarget("a")))
		l.tooNew = func(number int) bool { return number%100 == 0 }
		l.fill("a", 4)
		l.finish()
		l.wantStored()
		puts := l.puts()
		if len(puts) != 5 || l.refused < 30 {
			t.Fatalf("%d puts, %d records that are too new", len(puts), l.refused)
		}
		for i := range puts[1:] {
			l.wantPrepared(puts, i+1)
		}
	})
}

// A token of the quota is for who has his turn: one who prepared for nothing took none.
func TestWhoStandsByTakesNoToken(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		perSecond := 1 / (lineLatency.Seconds() - 1) // a token is there again a second before the answer
		l := newLine(t, Options{PutsPerSecond: perSecond}, engine.Retry{Base: time.Millisecond, Cap: time.Millisecond}, full())
		must(t, l.CreateStream(lineTarget("a")))
		l.Queue(cwfake.PutLogEvents, cwfake.InternalError())
		l.fill("a", 3)
		l.finish()
		l.wantStored()
		puts := l.puts()
		for i, put := range puts[1:] {
			if wait := put.Start.Sub(puts[i].End); wait > time.Millisecond {
				t.Errorf("put %d waited for %v", i+1, wait)
			}
		}
	})
}

// What is missing is created by who has his turn: no call is made while another is under way.
func TestCreatedOnOnesTurn(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, Options{}, engine.Retry{}, full())
		for _, s := range []string{"a", "b", "c"} {
			l.fill(s, 3)
		}
		time.Sleep(5*lineLatency + lineLatency/2)
		l.DeleteGroup(testRegion, testGroup)
		l.finish()
		l.wantStored()
		var last cwfake.Call
		for _, c := range l.inOrder() {
			if c.Start.Before(last.End) {
				t.Errorf("%s of %v began %v before the end of %s of %v", c.Operation, c.Target, last.End.Sub(c.Start), last.Operation, last.Target)
			}
			last = c
		}
		if st := l.Stats(); st.Count(cwfake.CreateLogStream, cwfake.ResultOK) < 4 || st.Count(cwfake.CreateLogGroup) != 2 {
			t.Errorf("calls %v", st.Calls)
		}
	})
}

// A record in parts, the first of which is there, is not tried again for ever within one Write, though that stood by: it ends
// at its deadline.
func TestPartsOfWhatStoodBy(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, Options{}, engine.Retry{}, 100*(lineText+perEvent))
		must(t, l.CreateStream(lineTarget("a")))
		l.SetFault(func(c cwfake.Call) cwfake.Fault {
			if c.Number > 2 {
				return cwfake.InternalError()
			}
			return cwfake.Fault{}
		})
		l.append("a", 100, lineText)
		l.append("a", 1, 150*lineText)
		time.Sleep(time.Minute + 3*lineLatency)
		tries := l.Stats().Count(cwfake.PutLogEvents)
		if st := l.engine.Stats().Outputs[0]; st.Attempts["ok"] != 1 || st.Attempts["retryable"] == 0 || tries < 5 {
			t.Errorf("after %d puts: attempts %v", tries, st.Attempts)
		}
		l.SetFault(nil)
		time.Sleep(time.Minute)
		l.finish()
		events := l.Events(lineTarget("a"))
		for i, prefix := range []string{"[part 1/2] a 101 x", "[part 2/2] x"} {
			if got := events[len(events)-2+i].Message; !strings.HasPrefix(got, prefix) {
				t.Errorf("stored at last: %.30q, want %q", got, prefix)
			}
		}
	})
}
