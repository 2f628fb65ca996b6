package cloudwatch_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/schedule"
	"github.com/sluicelog/sluice/outputs/cloudwatch"
)

// The whole way to an emulator that we did not write, and back by the plain SDK: every record and its time.
func TestMoto(t *testing.T) {
	noEnvironment(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "testing")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "testing")
	m := startMoto(t)
	for _, c := range []struct {
		format    string
		exists    bool  // the group, before
		retention int32 // that the group has in the end
		largest   int   // bytes of a body
	}{
		{cloudwatch.FormatBody, false, 7, 1<<20 - 26},
		{cloudwatch.FormatJSON, true, 3, 1<<20 - 4096},
	} {
		t.Run(c.format, func(t *testing.T) {
			w := motoWorld{moto: m, format: c.format, group: "/moto/" + c.format}
			if c.exists {
				m.createGroup(t, w.group, c.retention)
			}
			want := w.send(t, c.largest)
			for stream, want := range want {
				if diff := cmp.Diff(want, w.read(t, stream), cmp.Transformer("short", short)); diff != "" {
					t.Errorf("%s (-want +got):\n%.4000s", stream, diff)
				}
			}
			if got := m.retention(t, w.group); got != c.retention {
				t.Errorf("the group's retention is %d days, want %d", got, c.retention)
			}
		})
	}
}

// short keeps a difference readable.
func short(s string) string {
	if len(s) < 200 {
		return s
	}
	return fmt.Sprintf("%.100s...%d bytes, %x", s, len(s), hash(s))
}

// A motoWorld is one format's way there and back.
type motoWorld struct {
	*moto
	format, group string
}

// A sent record is one as it should be read.
type sent struct {
	At     int64 // milliseconds
	Text   string
	Record motoRecord // with FormatJSON
}

// A motoRecord is a whole record as a JSON object.
type motoRecord struct {
	Time       time.Time      `json:"time"`
	Severity   string         `json:"severity"`
	Body       any            `json:"body"`
	Tag        string         `json:"tag"`
	Stream     string         `json:"stream"`
	Sequence   uint64         `json:"sequence"`
	Attributes map[string]any `json:"attributes"`
	Resource   map[string]any `json:"resource"`
}

const (
	motoProducers = 2
	motoRecords   = 2000 // of each producer
	motoAppend    = 50   // records
)

// send brings records of two producers to three log streams. It gives what should be read of each of them, by time.
func (w motoWorld) send(t *testing.T, largest int) map[string][]sent {
	e := w.engine(t)
	want := map[string][]sent{}
	begin := time.Now().Add(-time.Minute)
	var mu sync.Mutex
	var all sync.WaitGroup
	for p := range motoProducers {
		all.Go(func() {
			s, err := e.Open(engine.Open{
				Tenant: "default", StreamID: fmt.Sprintf("producer-%d", p), Tag: w.format, Epoch: 1, Resource: motoResource(),
			})
			if err != nil {
				t.Error(err)
				return
			}
			for first := uint64(1); first < motoRecords; first += motoAppend {
				a := &engine.Append{First: first, Count: motoAppend, Slab: e.Slabs().Get(1 << 10)}
				mu.Lock()
				for n := first; n < first+motoAppend; n++ {
					r := motoSource{p, n, begin.Add(time.Duration(n)*2*time.Millisecond + time.Duration(p)*time.Millisecond), largest}
					a.Slab.B = protowire.AppendBytes(protowire.AppendTag(a.Slab.B, 2, protowire.BytesType), r.wire())
					want[r.host()] = append(want[r.host()], w.expect(r))
				}
				mu.Unlock()
				a.Data = a.Slab.B
				if err := s.Append(t.Context(), a); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	w.drain(t, e)
	for _, events := range want {
		slices.SortFunc(events, func(a, b sent) int { return int(a.At - b.At) })
	}
	return want
}

func (w motoWorld) engine(t *testing.T) *engine.Engine {
	out, err := cloudwatch.New(t.Context(), cloudwatch.Options{
		Region: region, Group: "/moto/{tag}", Stream: "{attr.host}", Endpoint: w.url, Format: w.format, Retention: 7,
	})
	if err != nil {
		t.Fatal(err)
	}
	limits := out.Batching()
	e, err := engine.New(engine.Options{
		Limits:    engine.Limits{MaxAppend: 4 << 20},
		NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) { return memory.New(outputs), nil },
		Outputs: []engine.OutputOptions{{
			Name: "aws", Output: out, Scheduler: schedule.NewKeyed(limits, schedule.Fixed(4)), Linger: limits.Linger,
		}},
		Routes: []engine.Route{{Match: "**", Outputs: []string{"aws"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (w motoWorld) drain(t *testing.T, e *engine.Engine) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := e.Drain(ctx)
	out := e.Stats().Outputs[0]
	left, closeErr := e.Close(ctx)
	if err := errors.Join(err, closeErr); err != nil || len(left) > 0 {
		t.Fatalf("drain and close: %v, undelivered %+v, last error: %s", err, left, out.LastError)
	}
	for label, tally := range out.Done {
		if label.Result != "delivered" {
			t.Errorf("%d records were %s: %s", tally.Records, label.Result, label.Reason)
		}
	}
}

// A motoSource makes one record.
type motoSource struct {
	producer int
	number   uint64
	at       time.Time
	largest  int
}

// host is what log streams are named by.
func (r motoSource) host() string { return fmt.Sprintf("höst-%d", r.number%3) }

// text is the body: of all sizes, in many scripts.
func (r motoSource) text() string {
	text := fmt.Sprintf("%d/%d \"Grüße\"\t\\ 日本語 🚰 \u2028 %s", r.producer, r.number, strings.Repeat("é", int(r.number%100)))
	switch {
	case r.producer == 0 && r.number == 100: // over what used to be the limit
		return text + strings.Repeat("x", 300<<10)
	case r.producer == 1 && r.number == 200:
		return text + strings.Repeat("y", r.largest-len(text))
	}
	return text
}

func (r motoSource) structured() bool { return r.number%10 == 0 && r.number%100 != 0 }

// wire is the record in wire form. Every tenth has a body that is a map.
func (r motoSource) wire() []byte {
	b := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), uint64(r.at.UnixNano()))
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), 17)
	body := stringValue(r.text())
	if r.structured() {
		list := appendField(nil, 1, keyValue("text", stringValue(r.text())))
		list = appendField(list, 1, keyValue("number", protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), r.number)))
		body = appendField(nil, 6, list)
	}
	b = appendField(b, 5, body)
	return appendField(b, 6, keyValue("host", stringValue(r.host())))
}

func motoResource() []byte {
	return appendField(nil, 1, keyValue("service.name", stringValue("käse")))
}

func appendField(dst []byte, n protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, n, protowire.BytesType), b)
}

func keyValue(key string, value []byte) []byte {
	return appendField(appendField(nil, 1, []byte(key)), 2, value)
}

func stringValue(s string) []byte { return appendField(nil, 1, []byte(s)) }

// expect is the record as it should be read.
func (w motoWorld) expect(r motoSource) sent {
	x := sent{At: r.at.UnixMilli()}
	var body any = r.text()
	if r.structured() {
		body = map[string]any{"text": r.text(), "number": float64(r.number)}
	}
	if w.format == cloudwatch.FormatJSON {
		x.Record = motoRecord{
			Time: r.at.UTC().Round(0), Severity: "ERROR", Body: body, Tag: w.format, Stream: fmt.Sprintf("producer-%d", r.producer),
			Sequence: r.number, Attributes: map[string]any{"host": r.host()}, Resource: map[string]any{"service.name": "käse"},
		}
		return x
	}
	x.Text = r.text()
	if r.structured() {
		x.Text = ""
		x.Record.Body = body
	}
	return x
}

// read gives all that a log stream has, as the plain SDK reads it.
func (w motoWorld) read(t *testing.T, stream string) []sent {
	var all []sent
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: &w.group, LogStreamName: &stream, StartFromHead: aws.Bool(true)}
	for {
		out, err := w.logs.GetLogEvents(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events {
			all = append(all, w.parse(t, *e.Timestamp, *e.Message))
		}
		if in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
			return all
		}
		in.NextToken = out.NextForwardToken
	}
}

func (w motoWorld) parse(t *testing.T, at int64, message string) sent {
	x := sent{At: at}
	switch {
	case w.format == cloudwatch.FormatJSON:
		if err := json.Unmarshal([]byte(message), &x.Record); err != nil {
			t.Errorf("%.200q: %v", message, err)
		}
	case strings.HasPrefix(message, "{"):
		if err := json.Unmarshal([]byte(message), &x.Record.Body); err != nil {
			t.Errorf("%.200q: %v", message, err)
		}
	default:
		x.Text = message
	}
	return x
}

// A moto is moto's server, and a client of it.
type moto struct {
	url  string
	logs *cloudwatchlogs.Client
}

// startMoto starts the server on a free port. It ends with the test.
func startMoto(t *testing.T) *moto {
	path := findMoto(t)
	server := exec.Command(path, "-H", "127.0.0.1", "-p", "0")
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what is started may be a shim
	server.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	says, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	url, over := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(over)
		for lines := bufio.NewScanner(says); lines.Scan(); {
			if _, at, ok := strings.Cut(lines.Text(), "Running on "); ok {
				select {
				case url <- strings.TrimSpace(at):
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
		<-over
		_ = server.Wait() // it was killed
	})
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	m := &moto{}
	select {
	case m.url = <-url:
	case <-over:
		t.Fatalf("%s ended before it served", path)
	case <-timeout.C:
		t.Fatalf("%s does not serve", path)
	}
	m.logs = cloudwatchlogs.New(cloudwatchlogs.Options{
		Region: region, BaseEndpoint: &m.url, Credentials: credentials.NewStaticCredentialsProvider("testing", "testing", ""),
	})
	return m
}

// findMoto gives the server that make test installs, or one that is installed.
func findMoto(t *testing.T) string {
	path := filepath.Join("..", "..", "bin", "moto_server")
	if err := exec.Command(path, "--help").Run(); err == nil {
		return path
	}
	path, err := exec.LookPath("moto_server")
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatal("no moto_server: tools/moto.sh makes one")
	}
	t.Skip("no moto_server: tools/moto.sh makes one")
	return ""
}

func (m *moto) createGroup(t *testing.T, group string, days int32) {
	_, err := m.logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.logs.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: &days})
	if err != nil {
		t.Fatal(err)
	}
}

// retention is the group's, in days.
func (m *moto) retention(t *testing.T, group string) int32 {
	out, err := m.logs.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.LogGroups) != 1 || out.LogGroups[0].RetentionInDays == nil {
		t.Fatalf("groups %+v", out.LogGroups)
	}
	return *out.LogGroups[0].RetentionInDays
}
