package cwfake_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const region = "eu-west-1"

var here = cwfake.Target{Region: region, Group: "/apps/shop", Stream: "one"}

// A scene is a server and a plain SDK client of it.
type scene struct {
	*cwfake.Server
	logs      *cloudwatchlogs.Client
	transport *http.Transport
	keys      *aws.Credentials
	url       string
}

// onPipe starts a server and a client in memory, for bubbles.
func onPipe(t *testing.T, o cwfake.Options) *scene {
	pipe := enginetest.NewPipe()
	return newScene(t, cwfake.New(o), pipe, &http.Transport{DialContext: pipe.DialContext})
}

// onLoopback starts a server and a client over TCP.
func onLoopback(t *testing.T, o cwfake.Options) *scene {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newScene(t, cwfake.New(o), l, &http.Transport{})
}

// onTLS starts a server and a client over TCP and TLS.
func onTLS(t *testing.T, o cwfake.Options) *scene {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := cwfake.New(o)
	trust := &tls.Config{RootCAs: s.CertPool()}
	return newScene(t, s, s.TLS(l), &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true})
}

func newScene(t *testing.T, s *cwfake.Server, l net.Listener, transport *http.Transport) *scene {
	sc := &scene{Server: s, transport: transport, url: s.Start(l)}
	sc.keys = &aws.Credentials{AccessKeyID: cwfake.KeyID, SecretAccessKey: cwfake.Secret}
	sc.logs = sc.client(region)
	if err := s.CreateStream(here); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sc.end(t) })
	return sc
}

// end closes both sides; nothing may be open afterwards.
func (sc *scene) end(t *testing.T) {
	sc.transport.CloseIdleConnections()
	if err := sc.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if n := sc.Stats().OpenConnections; n != 0 {
		t.Errorf("%d connections left open", n)
	}
	if n := sc.Stats().InFlight; n != 0 {
		t.Errorf("%d puts left in flight", n)
	}
}

func (sc *scene) client(region string) *cloudwatchlogs.Client {
	return cloudwatchlogs.New(cloudwatchlogs.Options{
		Region:       region,
		BaseEndpoint: &sc.url,
		HTTPClient:   &http.Client{Transport: plain{sc.transport}},
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return *sc.keys, nil
		}),
	})
}

// A plain transport shows net/http bodies without a WriteTo. The SDK closes a request's body as soon as the answer begins, which
// would be a failed write to net/http where the body has one, and cost the connection while the answer is read.
type plain struct{ http.RoundTripper }

func (p plain) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.RoundTripper.RoundTrip(r)
}

// put puts events to the target.
func (sc *scene) put(ctx context.Context, to cwfake.Target, es ...types.InputLogEvent) (*cloudwatchlogs.PutLogEventsOutput, error) {
	return sc.logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{
		LogGroupName: &to.Group, LogStreamName: &to.Stream, LogEvents: es,
	})
}

// putOne puts one event of now.
func (sc *scene) putOne(ctx context.Context, message string) error {
	_, err := sc.put(ctx, here, event(0, message))
	return err
}

// event is one at a time from now.
func event(from time.Duration, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: aws.Int64(time.Now().Add(from).UnixMilli()), Message: &message}
}

// events are n of now.
func events(n int, message string) []types.InputLogEvent {
	es := make([]types.InputLogEvent, n)
	at := time.Now().UnixMilli()
	for i := range es {
		es[i] = types.InputLogEvent{Timestamp: &at, Message: &message}
	}
	return es
}

// codeOf is the name of the AWS error, or OK, or what else there is.
func codeOf(err error) string {
	if err == nil {
		return "OK"
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return "other: " + err.Error()
}

// everywhere runs a test over TCP and in a bubble.
func everywhere(t *testing.T, o cwfake.Options, test func(*testing.T, *scene)) {
	t.Run("loopback", func(t *testing.T) { test(t, onLoopback(t, o)) })
	t.Run("pipe", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, onPipe(t, o)) })
	})
}

// inBubble runs a test in a bubble alone, where time stands still from one line to the next.
func inBubble(t *testing.T, o cwfake.Options, test func(*testing.T, *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, onPipe(t, o)) })
}

// numbered reads the numbers of messages like "a 17".
func numbered(message string) (string, uint64, bool) {
	source, number, _ := strings.Cut(message, " ")
	n, err := strconv.ParseUint(number, 10, 64)
	return source, n, err == nil
}
