package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// startFake starts a fake, and a putter to it.
func startFake(t *testing.T, streams ...string) (*fake, *putter) {
	t.Helper()
	f, err := newFake(fakeOrder{Streams: streams})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.server.Close(); err != nil {
			t.Error(err)
		}
	})
	where, err := f.start(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_REGION": putRegion, "AWS_ENDPOINT_URL": where.URL, "AWS_ACCESS_KEY_ID": cwfake.KeyID,
		"AWS_SECRET_ACCESS_KEY": cwfake.Secret, "AWS_CA_BUNDLE": "", "AWS_PROFILE": "", "AWS_SESSION_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	p, err := newPutter(t.Context(), streams)
	if err != nil {
		t.Fatal(err)
	}
	return f, p
}

func TestBatchIsFull(t *testing.T) {
	f, p := startFake(t, putStreams(2)...)
	if _, err := p.put(t.Context(), putOrder{Calls: 3}); err != nil {
		t.Fatal(err)
	}
	got, err := f.tally(tallyOrder{})
	if err != nil || got.Calls != 6 || got.Events != 6*batchRecords || got.Arrived != 0 {
		t.Errorf("%+v, %v, want 6 calls of %d events without a number", got, err, batchRecords)
	}
	p.batch = append(p.batch, p.batch[0])
	if _, err := p.put(t.Context(), putOrder{Calls: 1}); err == nil {
		t.Error("a batch of one record more was taken")
	}
}

func TestFakeFindsWhatIsWrong(t *testing.T) {
	f, p := startFake(t, "a")
	put := func(numbers ...uint64) {
		t.Helper()
		p.batch = p.batch[:0]
		for _, n := range numbers {
			body := []byte("0002 0000000000 rest")
			putNumber(body[runSize+1:runSize+1+numberSize], n)
			p.batch = append(p.batch, types.InputLogEvent{Message: aws.String(string(body)), Timestamp: aws.Int64(time.Now().UnixMilli())})
		}
		if _, err := p.put(t.Context(), putOrder{Calls: 1}); err != nil {
			t.Fatal(err)
		}
	}
	put(1, 2, 4)
	put(4, 3)
	other, err := f.tally(tallyOrder{Run: "0001"})
	if err != nil || other.Calls != 2 || other.Arrived != 0 {
		t.Errorf("of another run: %+v, %v", other, err)
	}
	got, err := f.tally(tallyOrder{Run: "0002"})
	if err != nil || got.Calls != 0 || got.Arrived != 5 || got.Reordered != 1 || got.Duplicates != 1 {
		t.Errorf("%+v, %v, want 5 arrived in no further call, one out of order and one twice", got, err)
	}
}

func TestSpanIsBusyFromFirstToLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s putSpan
		if part := s.take(); part != 0 {
			t.Errorf("busy %g without a call", part)
		}
		time.Sleep(time.Second) // before the first call nothing counts
		s.note(time.Now(), 5*time.Second)
		time.Sleep(time.Second)
		s.note(time.Now(), 5500*time.Millisecond)
		time.Sleep(time.Second)
		s.note(time.Now(), 6500*time.Millisecond)
		time.Sleep(time.Second) // nor after the last
		if part := s.take(); part != 0.75 {
			t.Errorf("busy %g, want 0.75", part)
		}
		s.note(time.Now(), 6500*time.Millisecond)
		if part := s.take(); part != 0 {
			t.Errorf("busy %g after one call", part)
		}
	})
}

func TestPutRowTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	figures := func(arrived, reordered, duplicates int64) putFigures {
		return putFigures{
			cpu: 1, rate: 1, records: 10,
			tally: putTally{Calls: 1, Arrived: arrived, Reordered: reordered, Duplicates: duplicates},
		}
	}
	for name, c := range map[string]struct {
		rounds []putFigures
		fails  bool
	}{
		"all is well":  {[]putFigures{figures(10, 0, 0), figures(10, 0, 0)}, false},
		"lost":         {[]putFigures{figures(10, 0, 0), figures(9, 0, 0)}, true},
		"twice":        {[]putFigures{figures(11, 0, 1)}, true},
		"out of order": {[]putFigures{figures(10, 1, 0)}, true},
		"one for one":  {[]putFigures{figures(10, 0, 1)}, true}, // lost one, another came twice
	} {
		row := putRow{}
		for _, f := range c.rounds {
			row.add(figures(0, 0, 0), f)
		}
		if err := row.err(); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEnvironmentIsTheFakesAlone(t *testing.T) {
	t.Setenv("AWS_PROFILE", "mine")
	t.Setenv("AWS_SESSION_TOKEN", "secret")
	env := awsEnvironment("http://127.0.0.1:1", "/ca.pem")
	for _, v := range []string{"AWS_PROFILE=mine", "AWS_SESSION_TOKEN=secret"} {
		if slices.Contains(env, v) {
			t.Errorf("%s is handed on", v)
		}
	}
	if !slices.Contains(env, "AWS_ENDPOINT_URL=http://127.0.0.1:1") {
		t.Error("no endpoint")
	}
}

func TestReportOfOnePartHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	r := report{Machine: machine{CPU: "AMD EPYC", Cores: 2, Date: "2026-01-02"}}
	if got := r.name(); got != "2026-01-02-2-core-amd-epyc" {
		t.Error(got)
	}
	r.only = partCloudWatch
	if got := r.name(); got != "2026-01-02-2-core-amd-epyc-cloudwatch" {
		t.Error(got)
	}
}
