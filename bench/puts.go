package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// putProcesses are all that a group is measured with.
type putProcesses struct {
	bench
	group    putGroup
	fake     *process
	baseline *process
	gateways []*server // one for each encoding
	runs     int       // so far
}

// putFigures are of one run of the gateway, or of the loop.
type putFigures struct {
	cpu, rate float64 // CPU-seconds per million records, records a second
	records   int64
	pauses    int
	fakeCPU   float64 // CPU-seconds per million records
	loaderCPU float64
	tally     putTally
}

// startPuts starts the fake, the loop, and the gateways.
func (b bench) startPuts(ctx context.Context, g putGroup) (*putProcesses, error) {
	s := &putProcesses{bench: b, group: g}
	if err := s.start(ctx); err != nil {
		return nil, s.end(err)
	}
	return s, nil
}

func (s *putProcesses) start(ctx context.Context) (err error) {
	streams := putStreams(s.group.streams)
	s.fake, err = s.role(ctx, roleFake, fakeOrder{TLS: s.group.tls, Latency: s.group.latency, Streams: streams})
	if err != nil {
		return err
	}
	var where fakeAnswer
	if err := s.fake.answer(&where); err != nil {
		return err
	}
	authority := filepath.Join(s.dir, "ca.pem")
	if err := os.WriteFile(authority, []byte(where.CA), 0o640); err != nil {
		return err
	}
	s.env = awsEnvironment(where.URL, authority)
	if s.baseline, err = s.role(ctx, rolePut, putterOrder{Streams: streams}); err != nil {
		return err
	}
	var records int
	if err := s.baseline.answer(&records); err != nil {
		return err
	}
	for _, encoding := range s.group.encodings {
		gateway, err := s.startGateway(ctx, toCloudWatch(s.group.scheduler, encoding))
		if err != nil {
			return err
		}
		s.gateways = append(s.gateways, gateway)
	}
	return nil
}

// end lets all processes go, the fake last.
func (s *putProcesses) end(err error) error {
	err = errors.Join(err, finishAll(s.gateways))
	for _, p := range []*process{s.baseline, s.fake} {
		if p != nil {
			err = errors.Join(err, p.finish())
		}
	}
	return err
}

// awsEnvironment is ours without anything of AWS's, but for where its service is and who we are to it.
func awsEnvironment(url, authority string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	return append(env, "AWS_REGION="+putRegion, "AWS_ENDPOINT_URL="+url, "AWS_CA_BUNDLE="+authority,
		"AWS_ACCESS_KEY_ID="+cwfake.KeyID, "AWS_SECRET_ACCESS_KEY="+cwfake.Secret,
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true")
}

// toCloudWatch is the config of a gateway from memory to CloudWatch Logs, each stream to a log stream of its own.
func toCloudWatch(scheduler, encoding string) string {
	inFlight, option := "", ""
	if scheduler != "sync" {
		inFlight = ", in_flight: 16"
	}
	switch encoding {
	case encodeGzip:
		option = ", gzip: true"
	case encodePlain:
		option = ", plain_sdk: true"
	}
	return fmt.Sprintf(`limits: {engine: {memory: 256MiB}, streams: 100}
outputs:
  - name: aws
    type: cloudwatch
    scheduler: {type: %s%s}
    cloudwatch: {group: %s, stream: "{stream}"%s}
`, scheduler, inFlight, putLogGroup, option)
}

// measure runs all rounds, after one that is not counted.
func (s *putProcesses) measure(ctx context.Context, rounds int) ([]putRow, error) {
	var rows []putRow
	for _, encoding := range s.group.encodings {
		rows = append(rows, s.group.row(encoding))
	}
	for i := range 1 + rounds {
		records := s.group.records
		if i == 0 {
			records /= 4
		}
		base, err := s.runBaseline(ctx, records)
		if err != nil {
			return nil, err
		}
		for j := range rows {
			gateway, err := s.runGateway(ctx, s.gateways[j], records)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", rows[j].Encoding, err)
			}
			if i > 0 {
				rows[j].add(base, gateway)
			}
		}
	}
	if plain := slices.Index(s.group.encodings, encodePlain); plain >= 0 {
		for j := range plain {
			rows[j].beside(&rows[plain])
		}
	}
	return rows, nil
}

// runBaseline has the loop put about so many records.
func (s *putProcesses) runBaseline(ctx context.Context, records int64) (putFigures, error) {
	order := putOrder{Calls: int(max(records/int64(s.group.streams*batchRecords), 1))}
	records = int64(order.Calls * s.group.streams * batchRecords)
	if err := s.baseline.ask(putOrder{Calls: 1}, new(putAnswer)); err != nil { // to have its connections made
		return putFigures{}, fmt.Errorf("the SDK's loop: %w", err)
	}
	return s.run(ctx, "", func() (seconds float64, cpu time.Duration, f putFigures, err error) {
		before, err := cpuTime(s.baseline.pid())
		if err != nil {
			return 0, 0, f, err
		}
		var answer putAnswer
		if err := s.baseline.ask(order, &answer); err != nil {
			return 0, 0, f, fmt.Errorf("the SDK's loop: %w", err)
		}
		after, err := cpuTime(s.baseline.pid())
		return answer.Seconds, after - before, putFigures{records: records}, err
	})
}

// runGateway has a gateway forward about so many records.
func (s *putProcesses) runGateway(ctx context.Context, gateway *server, records int64) (putFigures, error) {
	s.runs++
	w := workload{
		Streams: s.group.streams, Connections: s.group.streams, Append: 1000, Records: records, Run: runName(s.runs),
	}
	warm := w
	warm.Records, warm.Run = 1, "warm"
	if _, _, err := s.load(ctx, gateway, warm); err != nil { // connections that were idle for 4 s are closed
		return putFigures{}, err
	}
	return s.run(ctx, w.Run, func() (seconds float64, cpu time.Duration, f putFigures, err error) {
		answer, cpu, err := s.load(ctx, gateway, w)
		millions := float64(w.total()) / 1e6
		return answer.Seconds, cpu, putFigures{records: w.total(), pauses: answer.Pauses, loaderCPU: answer.CPU / millions}, err
	})
}

// run has somebody put records, and asks the fake what came.
func (s *putProcesses) run(ctx context.Context, name string, put func() (float64, time.Duration, putFigures, error)) (
	putFigures, error,
) {
	before, err := s.tally(name, nil)
	if err != nil {
		return putFigures{}, err
	}
	seconds, cpu, f, err := put()
	if err != nil {
		return putFigures{}, err
	}
	after, err := s.tally(name, &f.tally)
	if err != nil {
		return putFigures{}, err
	}
	millions := float64(f.records) / 1e6
	f.cpu, f.rate, f.fakeCPU = cpu.Seconds()/millions, float64(f.records)/seconds, (after-before).Seconds()/millions
	return f, pause(ctx, 50*time.Millisecond)
}

// tally asks the fake what came since it was last asked, and gives the CPU time that it took so far.
func (s *putProcesses) tally(run string, t *putTally) (time.Duration, error) {
	if t == nil {
		t = &putTally{}
	}
	if err := s.fake.ask(tallyOrder{Run: run}, t); err != nil {
		return 0, fmt.Errorf("fake: %w", err)
	}
	return cpuTime(s.fake.pid())
}
