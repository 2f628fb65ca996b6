package cwfake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/klauspost/compress/gzip"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

func TestCredentials(t *testing.T) {
	session := cwfake.Credentials{KeyID: "ASIA", Secret: "s", Token: "t"}
	session.Expires = time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC) // an hour after a bubble begins
	o := cwfake.Options{
		Regions:     []string{region},
		Credentials: []cwfake.Credentials{{KeyID: cwfake.KeyID, Secret: cwfake.Secret}, session},
	}
	tests := []struct {
		name string
		keys aws.Credentials
		wait time.Duration
		want string
	}{
		{"right", aws.Credentials{AccessKeyID: cwfake.KeyID, SecretAccessKey: cwfake.Secret}, 0, "OK"},
		{"wrong secret", aws.Credentials{AccessKeyID: cwfake.KeyID, SecretAccessKey: "x"}, 0, "InvalidSignatureException"},
		{"unknown key", aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, 0, "UnrecognizedClientException"},
		{"session", aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: "t"}, 0, "OK"},
		{"no token", aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s"}, 0, "UnrecognizedClientException"},
		{"wrong token", aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: "u"}, 0, "UnrecognizedClientException"},
		{"just valid", aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: "t"}, time.Hour - 1, "OK"},
		{"just expired", aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: "t"}, time.Hour, "ExpiredTokenException"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, o, func(t *testing.T, sc *scene) {
				time.Sleep(test.wait)
				*sc.keys = test.keys
				if got := codeOf(sc.putOne(t.Context(), "x")); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
				if got := sc.Calls()[0].KeyID; got != test.keys.AccessKeyID {
					t.Errorf("the call's key is %q", got)
				}
			})
		})
	}
}

func TestExpireCredentials(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{})
	steps := []struct {
		do   func()
		want string
	}{
		{func() {}, "OK"},
		{sc.ExpireCredentials, "ExpiredTokenException"},
		{func() { sc.SetCredentials(cwfake.Credentials{KeyID: "new", Secret: "s"}) }, "UnrecognizedClientException"},
		{func() { *sc.keys = aws.Credentials{AccessKeyID: "new", SecretAccessKey: "s"} }, "OK"},
	}
	for i, step := range steps {
		step.do()
		if got := codeOf(sc.putOne(t.Context(), "x")); got != step.want {
			t.Errorf("step %d: got %s, want %s", i, got, step.want)
		}
	}
}

func TestRegion(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{Regions: []string{region}})
	_, err := sc.client("us-east-1").DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{})
	if got := codeOf(err); got != "InvalidSignatureException" {
		t.Errorf("got %s", got)
	}
}

func TestAnyCredentials(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{AnyCredentials: true})
	*sc.keys = aws.Credentials{AccessKeyID: "whoever", SecretAccessKey: "whatever", SessionToken: "some"}
	if err := sc.putOne(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

// A post is a hand-made request, signed by the SDK's signer and then bent.
type post struct {
	body    string
	hash    string // of the payload, as signed; empty: the body's
	stated  string // X-Amz-Content-Sha256
	service string
	headers map[string]string
	at      time.Duration
	bend    func(*http.Request)
}

func (p post) send(t *testing.T, sc *scene) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sc.url+"/", strings.NewReader(p.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Logs_20140328.PutLogEvents")
	for name, value := range p.headers {
		r.Header.Set(name, value)
	}
	if p.stated != "" {
		r.Header.Set("X-Amz-Content-Sha256", p.stated)
	}
	if p.hash == "" {
		p.hash = sum(p.body)
	}
	if p.service == "" {
		p.service = "logs"
	}
	if err := v4.NewSigner().SignHTTP(context.Background(), *sc.keys, r, p.hash, p.service, region, time.Now().Add(p.at)); err != nil {
		t.Fatal(err)
	}
	if p.bend != nil {
		p.bend(r)
	}
	answer, err := (&http.Client{Transport: sc.transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode == http.StatusOK {
		return "OK"
	}
	_, rest, _ := strings.Cut(text.String(), `"__type":"`)
	code, _, _ := strings.Cut(rest, `"`)
	return code
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// putBody is a put to here, of a message in JSON and a time in words.
func putBody(message, at string) string {
	return `{"logEvents":[{"message":` + message + `,"timestamp":` + at + `}],"logGroupName":"` + here.Group +
		`","logStreamName":"` + here.Stream + `"}`
}

const bubbleNow = "946684800000" // 2000-01-01, when bubbles begin

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

func TestRequests(t *testing.T) {
	good := putBody(`"x"`, bubbleNow)
	gz := map[string]string{"Content-Encoding": "gzip"}
	drop := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }
	add := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	const badSignature, badBody = "InvalidSignatureException", "SerializationException"
	tests := []struct {
		name string
		post post
		want string
	}{
		{"good", post{body: good}, "OK"},
		{"stated hash", post{body: good, stated: sum(good)}, "OK"},
		{"stated hash of another", post{body: good, stated: sum("x")}, badSignature},
		{"signed hash of another", post{body: good, hash: sum("x")}, badSignature},
		{"unsigned payload", post{body: good, hash: "UNSIGNED-PAYLOAD", stated: "UNSIGNED-PAYLOAD"}, badSignature},
		{"other service", post{body: good, service: "s3"}, badSignature},
		{"5 min ago", post{body: good, at: -5 * time.Minute}, "OK"},
		{"5 min and 1 s ago", post{body: good, at: -5*time.Minute - time.Second}, badSignature},
		{"5 min ahead", post{body: good, at: 5 * time.Minute}, "OK"},
		{"5 min and 1 s ahead", post{body: good, at: 5*time.Minute + time.Second}, badSignature},
		{"unsigned", post{body: good, bend: drop("Authorization")}, "MissingAuthenticationTokenException"},
		{"no date", post{body: good, bend: drop("X-Amz-Date")}, "IncompleteSignatureException"},
		{"header not signed", post{body: good, bend: add("X-Amz-Extra", "1")}, badSignature},
		{"header changed", post{body: good, bend: add("X-Amz-Target", "Logs_20140328.CreateLogGroup")}, badSignature},
		{"other scheme", post{body: good, bend: add("Authorization", "Bearer x")}, "IncompleteSignatureException"},
		{"gzip", post{body: zipped(good), headers: gz}, "OK"},
		{"gzip, hash of what is in it", post{body: zipped(good), headers: gz, hash: sum(good)}, badSignature},
		{"not gzip", post{body: good, headers: gz}, badBody},
		{"gzip cut short", post{body: zipped(good)[:40], headers: gz}, badBody},
		{"other encoding", post{body: good, headers: map[string]string{"Content-Encoding": "br"}}, badBody},
		{"gzip of too much", post{body: zipped(strings.Repeat(" ", 8<<20+1)), headers: gz}, "RequestEntityTooLargeException"},
		{"too large", post{body: strings.Repeat(" ", 8<<20+1)}, "RequestEntityTooLargeException"},
		{"invalid UTF-8", post{body: putBody("\"\xff\"", bubbleNow)}, badBody},
		{"half a pair", post{body: putBody(`"\ud800"`, bubbleNow)}, badBody},
		{"half a pair, other shape", post{body: `{"entity":{},` + putBody(`"\ud800x"`, bubbleNow)[1:]}, badBody},
		{"pair", post{body: putBody(`"\ud83d\ude00"`, bubbleNow)}, "OK"},
		{"entity", post{body: `{"entity":{},` + good[1:]}, "OK"},
		{"not JSON", post{body: "{"}, badBody},
		{"time as text", post{body: putBody(`"x"`, `"1"`)}, badBody},
		{"time with fraction", post{body: putBody(`"x"`, "1.5")}, badBody},
		{"no time", post{body: putBody(`"x"`, "null")}, "InvalidParameterException"},
		{"time before 1970", post{body: putBody(`"x"`, "-1")}, "InvalidParameterException"},
		{"no message", post{body: putBody(`null`, bubbleNow)}, "InvalidParameterException"},
		{"no names", post{body: `{"logEvents":[{"message":"x","timestamp":1}]}`}, "InvalidParameterException"},
		{"no events", post{body: `{"logGroupName":"g","logStreamName":"s"}`}, "InvalidParameterException"},
		{"unknown operation", post{body: "{}", headers: map[string]string{"X-Amz-Target": "Logs_20140328.Fly"}}, "UnknownOperationException"},
		{"unknown service", post{body: "{}", headers: map[string]string{"X-Amz-Target": "S3.PutLogEvents"}}, "UnknownOperationException"},
		{"other content type", post{body: good, headers: map[string]string{"Content-Type": "application/json"}}, badBody},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := onPipe(t, cwfake.Options{})
				if got := test.post.send(t, sc); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
				if n := len(sc.Events(here)); (n == 1) != (test.want == "OK") {
					t.Errorf("%d events stored", n)
				}
			})
		})
	}
}
