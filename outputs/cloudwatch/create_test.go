package cloudwatch

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

func calls(s *cwfake.Server) string {
	var all []string
	for _, c := range s.Calls() {
		all = append(all, string(c.Operation))
	}
	return strings.Join(all, " ")
}

// What is missing is created by the one Write that finds it missing: the stream, and its group only where that is missing, too.
func TestCreate(t *testing.T) {
	there := cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}
	other := there
	other.Stream = "other"
	for _, c := range []struct {
		name  string
		o     Options
		there *cwfake.Target
		want  string
	}{
		{"nothing missing", Options{}, &there, "PutLogEvents"},
		{"stream", Options{Retention: 7}, &other, "PutLogEvents CreateLogStream PutLogEvents"},
		{"group", Options{}, nil, "PutLogEvents CreateLogStream CreateLogGroup CreateLogStream PutLogEvents"},
		{"group with retention", Options{Retention: 7}, nil,
			"PutLogEvents CreateLogStream CreateLogGroup PutRetentionPolicy CreateLogStream PutLogEvents"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, o := fake(t, cwfake.Options{}, c.o)
			if c.there != nil {
				must(t, s.CreateStream(*c.there))
			}
			must(t, o.Write(t.Context(), bodies(o, "one")))
			if got := calls(s); got != c.want {
				t.Errorf("calls %s\nwant  %s", got, c.want)
			}
			if g, _ := s.Group(testRegion, testGroup); c.there == nil && g.Retention != c.o.Retention {
				t.Errorf("retention %d, want %d", g.Retention, c.o.Retention)
			}
		})
	}
}

func TestCreatedGroup(t *testing.T) {
	key := "arn:aws:kms:eu-west-1:123456789012:key/1"
	s, o := fake(t, cwfake.Options{}, Options{
		Retention: 30, Tags: map[string]string{"team": "shop"}, KMSKey: key, Class: "INFREQUENT_ACCESS",
	})
	must(t, o.Write(t.Context(), bodies(o, "one")))
	g, _ := s.Group(testRegion, testGroup)
	if g.Retention != 30 || g.Tags["team"] != "shop" || g.KMSKey != key || g.Class != "INFREQUENT_ACCESS" {
		t.Errorf("%+v", g)
	}
}

func TestNotCreated(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      Options
		group  bool // is there
		op     cwfake.Operation
		faults []cwfake.Fault
		kind   engine.Kind
		says   string
	}{
		{name: "nothing may be", o: Options{Create: CreateNone}, kind: engine.KindDenied, says: "put to"},
		{name: "no group may be", o: Options{Create: CreateStreams}, kind: engine.KindDenied, says: "create log stream"},
		{name: "stream denied", group: true, op: cwfake.CreateLogStream, faults: []cwfake.Fault{cwfake.Denied()}, kind: engine.KindDenied, says: "AccessDenied"},
		{name: "group denied", op: cwfake.CreateLogGroup, faults: []cwfake.Fault{cwfake.Denied()}, kind: engine.KindDenied, says: "create log group"},
		{name: "group limit", op: cwfake.CreateLogGroup, faults: []cwfake.Fault{cwfake.Refuse(400, "LimitExceededException", "Resource limit exceeded.")}, kind: engine.KindDenied},
		{name: "bad key", op: cwfake.CreateLogGroup, faults: []cwfake.Fault{cwfake.Refuse(400, "InvalidParameterException", "kms")}, kind: engine.KindDenied},
		{name: "group throttled", op: cwfake.CreateLogGroup, faults: []cwfake.Fault{cwfake.Throttle()}, kind: engine.KindRetryable},
		{name: "stream 500", group: true, op: cwfake.CreateLogStream, faults: []cwfake.Fault{cwfake.InternalError()}, kind: engine.KindRetryable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, o := fake(t, cwfake.Options{}, c.o)
			if c.group {
				must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: "other"}))
			}
			s.Queue(c.op, c.faults...)
			err := o.Write(t.Context(), bodies(o, "one"))
			wantKind(t, err, c.kind, "")
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q in it", err, c.says)
			}
		})
	}
}

// Races with others who create the same are no failures, and neither is a conflict that goes away.
func TestCreateRaces(t *testing.T) {
	environment(t)
	for name, queue := range map[string]func(s *cwfake.Server){
		"stream exists": func(s *cwfake.Server) {
			s.Queue(cwfake.CreateLogStream, cwfake.Fault{}, cwfake.Refuse(400, "ResourceAlreadyExistsException", ""))
			s.Queue(cwfake.CreateLogGroup, cwfake.Fault{})
		},
		"group exists": func(s *cwfake.Server) {
			_ = s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: "other"})
			s.Queue(cwfake.CreateLogStream, cwfake.Refuse(400, "ResourceNotFoundException", ""))
		},
		"conflicts": func(s *cwfake.Server) {
			aborted := cwfake.Refuse(400, "OperationAbortedException", "conflict")
			s.Queue(cwfake.CreateLogStream, aborted, cwfake.Fault{}, aborted)
			s.Queue(cwfake.CreateLogGroup, aborted, aborted)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, o := piped(t, cwfake.Options{}, Options{Retention: 7})
				queue(s)
				must(t, o.Write(t.Context(), bodies(o, "one")))
				if got := stored(s); len(got) != 1 {
					t.Errorf("stored %q", got)
				}
				if g, _ := s.Group(testRegion, testGroup); name == "group exists" && g.Retention != 0 {
					t.Error("a group that others made was given our retention")
				}
			})
		})
	}
}

// AWS may take a moment to find what it has just created.
func TestCreatedButNotThereYet(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		s, o := piped(t, cwfake.Options{Settle: 80 * time.Millisecond}, Options{})
		must(t, o.Write(t.Context(), bodies(o, "one")))
		if got := stored(s); len(got) != 1 {
			t.Errorf("stored %q", got)
		}
	})
}

// A group that is deleted meanwhile is made again.
func TestGroupDeletedMeanwhile(t *testing.T) {
	s, o := fake(t, cwfake.Options{}, Options{})
	for range 3 {
		must(t, o.Write(t.Context(), bodies(o, "one")))
		s.DeleteGroup(testRegion, testGroup)
	}
	if got := stored(s); len(got) != 3 {
		t.Errorf("stored %q", got)
	}
}

// Many streams that miss their group have it created once, and each stream once.
func TestCreationIsShared(t *testing.T) {
	s, o := fake(t, cwfake.Options{Latency: 5 * time.Millisecond}, Options{Stream: "{stream}"})
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			c := chunkOf(record(time.Now(), "one"))
			c.Stream = &engine.Stream{ID: fmt.Sprintf("s%d", i%8)}
			if err := o.Write(t.Context(), batchOf(o, c)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	st := s.Stats()
	// One that found them missing just before they were made may ask again, and is told that they exist.
	if groups := st.Count(cwfake.CreateLogGroup, cwfake.ResultOK); groups != 1 {
		t.Errorf("%d groups created", groups)
	}
	if n := st.Count(cwfake.CreateLogStream, cwfake.ResultOK); n != 8 {
		t.Errorf("%d streams created", n)
	}
	if aborted := st.Count(cwfake.CreateLogStream, "OperationAbortedException"); aborted != 0 {
		t.Errorf("%d creations met another", aborted)
	}
	if len(o.creations.aloft) != 0 {
		t.Errorf("%d creations are kept", len(o.creations.aloft))
	}
}

// The last put that follows a creation is given the longest time.
func TestCreatedAndThereAtLast(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		s, o := piped(t, cwfake.Options{Settle: 330 * time.Millisecond}, Options{})
		must(t, o.Write(t.Context(), bodies(o, "one")))
		if n := s.Stats().Count(cwfake.PutLogEvents); n != maxCreations+1 {
			t.Errorf("%d puts", n)
		}
	})
}

// Credentials that have expired when something is to be created are renewed at once, as where something is put.
func TestCreateWithExpiredCredentials(t *testing.T) {
	for _, op := range []cwfake.Operation{cwfake.CreateLogStream, cwfake.CreateLogGroup, cwfake.PutRetentionPolicy} {
		s, o := fake(t, cwfake.Options{}, Options{Retention: 7})
		s.Queue(op, cwfake.Refuse(400, "ExpiredTokenException", "The security token included in the request is expired"))
		must(t, o.Write(t.Context(), bodies(o, "one")))
		if g, _ := s.Group(testRegion, testGroup); g.Retention != 7 {
			t.Errorf("%s: retention %d", op, g.Retention)
		}
	}
}

// A retention that does not come about is waited for, a little, and tried again.
func TestRetentionIsTriedAgain(t *testing.T) {
	environment(t)
	for name, x := range map[string]struct {
		faults []cwfake.Fault
		want   int
		took   time.Duration // at most
	}{
		"throttled":   {[]cwfake.Fault{cwfake.Throttle(), cwfake.Unavailable()}, 7, time.Second},
		"it hangs":    {[]cwfake.Fault{cwfake.HangBefore()}, 0, retentionTimeout},
		"denied":      {[]cwfake.Fault{cwfake.Denied()}, 0, 0},
		"many resets": {slices.Repeat([]cwfake.Fault{cwfake.ResetBefore()}, 9), 0, retentionTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, o := piped(t, cwfake.Options{}, Options{Retention: 7})
				s.Queue(cwfake.PutRetentionPolicy, x.faults...)
				start := time.Now()
				must(t, o.Write(t.Context(), bodies(o, "one")))
				if took := time.Since(start); took > x.took {
					t.Errorf("it took %v, want %v at most", took, x.took)
				}
				if g, _ := s.Group(testRegion, testGroup); g.Retention != x.want {
					t.Errorf("retention %d, want %d", g.Retention, x.want)
				}
			})
		})
	}
}

// However many groups are made at once, each waits for its turn and gets its retention.
func TestManyGroupsGetTheirRetention(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		s, o := piped(t, cwfake.Options{}, Options{Group: "/apps/{stream}", Retention: 7})
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				c := chunkOf(record(time.Now(), "one"))
				c.Stream = &engine.Stream{ID: fmt.Sprintf("s%d", i)}
				if err := o.Write(t.Context(), batchOf(o, c)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i := range 60 {
			if g, _ := s.Group(testRegion, fmt.Sprintf("/apps/s%d", i)); g.Retention != 7 {
				t.Errorf("group %d: retention %d", i, g.Retention)
			}
		}
	})
}

// Where nobody knows whether we made a group, somebody is told that it may lack its retention.
func TestLostCreationIsTold(t *testing.T) {
	for want, fault := range map[bool]cwfake.Fault{true: cwfake.ResetAfter(), false: cwfake.Denied()} {
		var said strings.Builder
		s, o := fake(t, cwfake.Options{}, Options{Retention: 7, Log: slog.New(slog.NewTextHandler(&said, nil))})
		s.Queue(cwfake.CreateLogGroup, fault)
		if err := o.Write(t.Context(), bodies(o, "one")); err == nil {
			t.Errorf("%v: no error", fault)
		}
		if told := strings.Contains(said.String(), "may have been created"); told != want {
			t.Errorf("%v: said %s", fault, said.String())
		}
	}
}

// A retention that fails is told, and holds nothing up.
func TestRetentionFails(t *testing.T) {
	var said strings.Builder
	s, o := fake(t, cwfake.Options{}, Options{Retention: 7, Log: slog.New(slog.NewTextHandler(&said, nil))})
	s.Queue(cwfake.PutRetentionPolicy, cwfake.Denied())
	must(t, o.Write(t.Context(), bodies(o, "one")))
	if !strings.Contains(said.String(), "no retention") || !strings.Contains(said.String(), testGroup) {
		t.Errorf("said %s", said.String())
	}
}
