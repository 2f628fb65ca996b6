package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// A roleGiver is AWS's token service: it hands out one set of credentials and keeps what it was asked.
type roleGiver struct {
	mu     sync.Mutex // guards what follows
	asked  []map[string]string
	answer http.HandlerFunc // instead
}

func (g *roleGiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	form := map[string]string{"signed": fmt.Sprint(r.Header.Get("Authorization") != "")}
	for key := range r.Form {
		form[key] = r.Form.Get(key)
	}
	g.mu.Lock()
	g.asked = append(g.asked, form)
	answer := g.answer
	g.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	action := form["Action"]
	_, _ = fmt.Fprintf(w, `<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%sResult><Credentials>
		<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey><SessionToken>role-token</SessionToken>
		<Expiration>%s</Expiration></Credentials></%sResult></%sResponse>`,
		action, action, time.Now().Add(time.Hour).UTC().Format(time.RFC3339), action, action)
}

// given is a fake that knows the role's credentials alone, and an output to it that takes on a role.
func given(t *testing.T, o Options) (*roleGiver, *cwfake.Server, *Output) {
	t.Helper()
	environment(t)
	g := &roleGiver{}
	sts := httptest.NewServer(g)
	t.Cleanup(sts.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", sts.URL)
	s := cwfake.New(cwfake.Options{Credentials: []cwfake.Credentials{{KeyID: "ASIAROLE", Secret: "role-secret", Token: "role-token"}}})
	logs := httptest.NewServer(s)
	t.Cleanup(logs.Close)
	o.Endpoint = logs.URL
	return g, s, newOutput(t, o)
}

func TestAssumeRole(t *testing.T) {
	g, s, o := given(t, Options{AssumeRole: AssumeRole{
		ARN: "arn:aws:iam::210987654321:role/logs", ExternalID: "external-1", SessionName: "gateway",
	}})
	if len(g.asked) != 0 {
		t.Error("New asked for credentials")
	}
	for range 3 {
		must(t, o.Write(t.Context(), bodies(o, "one")))
	}
	if len(stored(s)) != 3 || len(g.asked) != 1 {
		t.Fatalf("%d stored, %d asked", len(stored(s)), len(g.asked))
	}
	for key, want := range map[string]string{
		"Action": "AssumeRole", "RoleArn": "arn:aws:iam::210987654321:role/logs", "ExternalId": "external-1",
		"RoleSessionName": "gateway", "signed": "true",
	} {
		if got := g.asked[0][key]; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if o.login.account != "210987654321" {
		t.Errorf("account %q", o.login.account)
	}
}

func TestWebIdentity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(file, []byte("the-token"), 0o600))
	g, s, o := given(t, Options{WebIdentity: WebIdentity{RoleARN: "arn:aws:iam::1:role/pod", TokenFile: file}})
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	must(t, o.Write(t.Context(), bodies(o, "one")))
	if len(stored(s)) != 1 || len(g.asked) != 1 {
		t.Fatalf("%d stored, %d asked", len(stored(s)), len(g.asked))
	}
	for key, want := range map[string]string{
		"Action": "AssumeRoleWithWebIdentity", "RoleArn": "arn:aws:iam::1:role/pod", "WebIdentityToken": "the-token", "signed": "false",
	} {
		if got := g.asked[0][key]; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// A role that is refused parks; a token service that is not well is waited for.
func TestNoRole(t *testing.T) {
	for name, x := range map[string]struct {
		status int
		code   string
		kind   engine.Kind
	}{
		"refused":          {403, "AccessDenied", engine.KindDenied},
		"no such":          {400, "ValidationError", engine.KindDenied},
		"unknown":          {400, "NewCode", engine.KindDenied},
		"throttled":        {400, "Throttling", engine.KindRetryable},
		"unavailable":      {503, "ServiceUnavailable", engine.KindRetryable},
		"not well":         {500, "InternalFailure", engine.KindRetryable},
		"not well somehow": {500, "NewCode", engine.KindRetryable},
		"does not reach":   {400, "IDPCommunicationError", engine.KindRetryable},
	} {
		g, _, o := given(t, Options{AssumeRole: AssumeRole{ARN: "arn:aws:iam::210987654321:role/logs"}})
		g.answer = func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(x.status)
			_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Code>%s</Code><Message>you may not %s, Value 'private' at 'externalId'</Message></Error></ErrorResponse>`, x.code, cwfake.Secret)
		}
		err := o.Write(t.Context(), bodies(o, "one"))
		wantKind(t, err, x.kind, "")
		if !strings.Contains(err.Error(), x.code) || strings.Contains(err.Error(), cwfake.Secret) || strings.Contains(err.Error(), "private") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Somebody in front of the token service is no reason to park, unless he lets nobody through.
func TestNoAnswerOfTheTokenService(t *testing.T) {
	for name, x := range map[string]struct {
		status int
		page   string
		kind   engine.Kind
	}{
		"502 page":  {502, "<html>bad gateway", engine.KindRetryable},
		"empty 503": {503, "", engine.KindRetryable},
		"200 page":  {200, "<html>log in", engine.KindRetryable},
		"429 page":  {429, "<html>too many", engine.KindRetryable},
		"403 page":  {403, "<html>no", engine.KindDenied},
	} {
		t.Run(name, func(t *testing.T) {
			g, _, o := given(t, Options{AssumeRole: AssumeRole{ARN: "arn:aws:iam::210987654321:role/logs"}})
			g.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(x.status)
				_, _ = io.WriteString(w, x.page)
			}
			wantKind(t, o.Write(t.Context(), bodies(o, "one")), x.kind, "")
		})
	}
}

// One target whose every signature is refused does not have credentials asked for again and again.
func TestRenewalsAreRare(t *testing.T) {
	g, s, o := given(t, Options{Stream: "{tag}", AssumeRole: AssumeRole{ARN: "arn:aws:iam::210987654321:role/logs"}})
	s.SetFault(cwfake.On(cwfake.Puts, cwfake.Refuse(403, "InvalidSignatureException", "no")))
	const writes = 20
	for range writes {
		wantKind(t, o.Write(t.Context(), bodies(o, "one")), engine.KindDenied, "")
	}
	if puts := s.Stats().Count(cwfake.PutLogEvents); len(g.asked) != 2 || puts != writes+1 {
		t.Errorf("asked for credentials %d times, %d puts; want 2, %d", len(g.asked), puts, writes+1)
	}
	o.login.current.Load().renewed = time.Now().Add(-renewEvery)
	wantKind(t, o.Write(t.Context(), bodies(o, "one")), engine.KindDenied, "")
	if len(g.asked) != 3 {
		t.Errorf("asked for credentials %d times after a while, want once more", len(g.asked))
	}
}

// What a credential_process writes may be a secret, also where nobody can read it.
func TestCredentialProcessIsNotTold(t *testing.T) {
	_, o := fake(t, cwfake.Options{}, Options{})
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	text := "[default]\ncredential_process = /bin/echo SecretAccessKey: top-secret\n"
	must(t, os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte(text), 0o600))
	must(t, o.login.renew(t.Context(), o.login.current.Load()))
	err := o.Write(t.Context(), bodies(o, "one"))
	wantKind(t, err, engine.KindDenied, "")
	if text := err.Error(); strings.Contains(text, "top-secret") || !strings.Contains(text, "process provider error: [redacted]") {
		t.Error(err)
	}
}

// Neither an external ID nor a container's token is told, whoever repeats it.
func TestPrivateValuesAreNotTold(t *testing.T) {
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token")
	g, _, o := given(t, Options{AssumeRole: AssumeRole{ARN: "arn:aws:iam::210987654321:role/logs", ExternalID: "external-1"}})
	g.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not with external-1, container-token</Message></Error></ErrorResponse>`)
	}
	err := o.Write(t.Context(), bodies(o, "one"))
	if text := err.Error(); !strings.Contains(text, "not with [redacted], [redacted]") {
		t.Error(err)
	}
}

func TestProfile(t *testing.T) {
	s, _ := fake(t, cwfake.Options{Credentials: []cwfake.Credentials{{KeyID: "AKIAPROFILE", Secret: "profile-secret"}}}, Options{})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	write := func(env, text string) { must(t, os.WriteFile(os.Getenv(env), []byte(text), 0o600)) }
	write("AWS_CONFIG_FILE", "[profile shop]\nregion = "+testRegion+"\n")
	write("AWS_SHARED_CREDENTIALS_FILE", "[shop]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = profile-secret\n")
	o, err := New(t.Context(), Options{Group: testGroup, Stream: testStream, Profile: "shop", Endpoint: srv.URL})
	must(t, err)
	t.Cleanup(func() { _ = o.Close() })
	must(t, o.Write(t.Context(), bodies(o, "one")))
	if got := stored(s); len(got) != 1 {
		t.Fatalf("stored %q in the profile's region", got)
	}

	// Somebody puts other keys in the file: they are found when the old ones are refused, within the Write.
	s.SetCredentials(cwfake.Credentials{KeyID: "AKIANEW", Secret: "new-secret"})
	write("AWS_SHARED_CREDENTIALS_FILE", "[shop]\naws_access_key_id = AKIANEW\naws_secret_access_key = new-secret\n")
	must(t, o.Write(t.Context(), bodies(o, "two")))
	if got := stored(s); len(got) != 2 {
		t.Errorf("stored %q", got)
	}
}

func TestExpiredToken(t *testing.T) {
	g, s, o := given(t, Options{AssumeRole: AssumeRole{ARN: "arn:aws:iam::210987654321:role/logs"}})
	must(t, o.Write(t.Context(), bodies(o, "one")))
	s.ExpireCredentials()
	wantKind(t, o.Write(t.Context(), bodies(o, "two")), engine.KindDenied, "")
	if len(g.asked) != 2 {
		t.Errorf("asked %d times: once at first, once when it had expired", len(g.asked))
	}
	s.SetCredentials(cwfake.Credentials{KeyID: "ASIAROLE", Secret: "role-secret", Token: "role-token"})
	must(t, o.Write(t.Context(), bodies(o, "two")))
}

// Whose clock is wrong is told so by AWS, and signs with the right time at once.
func TestClockSkew(t *testing.T) {
	ahead := time.Now().Add(time.Hour)
	calls := 0
	o := handled(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("Date", ahead.UTC().Format(http.TimeFormat))
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || ahead.Sub(signed).Abs() > 5*time.Minute {
			refuse(w, http.StatusBadRequest, "InvalidSignatureException", "Signature expired")
			return
		}
		w.Header().Set("x-amzn-RequestId", "id")
	}, Options{})
	for range 2 {
		must(t, o.Write(t.Context(), bodies(o, "one")))
	}
	if calls != 3 {
		t.Errorf("%d calls for two Writes", calls)
	}
}

func TestLoginErrors(t *testing.T) {
	asked := func(service string, err error) error {
		return &smithy.OperationError{ServiceID: service, OperationName: "Get", Err: err}
	}
	for name, x := range map[string]struct {
		err  error
		want class
	}{
		"nobody is there to ask":    {asked("ec2imds", &smithyhttp.RequestSendError{Err: context.DeadlineExceeded}), denied},
		"no token service":          {asked("STS", &smithyhttp.RequestSendError{Err: errors.New("refused")}), transient},
		"token service is not well": {asked("STS", &smithy.GenericAPIError{Code: "InternalFailure", Fault: smithy.FaultServer}), transient},
		"no role":                   {asked("STS", &smithy.GenericAPIError{Code: "AccessDenied"}), denied},
		"out of time":               {context.DeadlineExceeded, transient},
		"no file":                   {os.ErrNotExist, denied},
	} {
		if got := newRefusal(&loginError{x.err}).class(); got != x.want {
			t.Errorf("%s: class %d, want %d", name, got, x.want)
		}
	}
}

// No credentials at all are found out by the first Write, which parks, and are used once they are there.
func TestNoCredentials(t *testing.T) {
	_, o := fake(t, cwfake.Options{}, Options{})
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	must(t, o.login.renew(t.Context(), o.login.current.Load()))
	err := o.Write(t.Context(), bodies(o, "one"))
	wantKind(t, err, engine.KindDenied, "")
	if !strings.Contains(err.Error(), "no credentials") {
		t.Error(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", cwfake.KeyID)
	o.login.current.Load().renewed = time.Now().Add(-renewEvery)
	_ = o.Write(t.Context(), bodies(o, "one"))
	must(t, o.Write(t.Context(), bodies(o, "one")))
}

func TestEndpointOfTheEnvironment(t *testing.T) {
	s, _ := fake(t, cwfake.Options{}, Options{})
	srv := httptest.NewUnstartedServer(s)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // one client does not trust it, which is the point
	srv.StartTLS()
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	t.Setenv("AWS_ENDPOINT_URL", srv.URL)
	cert := pemOf(srv)
	must(t, os.WriteFile(file, cert, 0o600))
	must(t, newOutput(t, Options{CAFile: file}).Write(t.Context(), bodies(newOutput(t, Options{}), "one")))
	t.Setenv("AWS_CA_BUNDLE", file)
	o := newOutput(t, Options{})
	must(t, o.Write(t.Context(), bodies(o, "one")))
	if got := stored(s); len(got) != 2 {
		t.Errorf("stored %q", got)
	}
	t.Setenv("AWS_CA_BUNDLE", "")
	o = newOutput(t, Options{})
	wantKind(t, o.Write(t.Context(), bodies(o, "one")), engine.KindRetryable, "")
}
