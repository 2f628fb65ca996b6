package cloudwatch

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// A login is who we are to AWS. Its credentials come from the SDK's chain, which caches them until they expire, and are read
// anew from the start when AWS refuses them: files may have changed. It is safe for concurrent use.
type login struct {
	account string // what stands for the account whose quota is used
	load    func(ctx context.Context) (aws.Config, error)
	current atomic.Pointer[identity]
	secrets [2]atomic.Pointer[aws.Credentials] // last given out, and those that a role was asked for with: not to be told
	private []string                           // what else is not to be told
}

// An identity is the configuration, with its credentials, that is in use.
type identity struct {
	aws.Config
	renewed time.Time // when it took the place of another; zero: it is the first
}

func newLogin(ctx context.Context, o Options) (*login, error) {
	l := &login{account: o.account(), private: []string{o.AssumeRole.ExternalID, os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")}}
	l.load = func(ctx context.Context) (aws.Config, error) { return l.loadConfig(ctx, o) }
	loaded, err := l.load(ctx)
	if err != nil {
		return nil, err
	}
	l.current.Store(&identity{Config: loaded})
	return l, nil
}

func (l *login) config() aws.Config { return l.current.Load().Copy() }

// Retrieve implements [aws.CredentialsProvider].
func (l *login) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := watched{l.current.Load().Credentials, &l.secrets[0]}.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &loginError{err}
	}
	return c, nil
}

// A watched provider keeps what it gave last.
type watched struct {
	aws.CredentialsProvider
	last *atomic.Pointer[aws.Credentials]
}

func (w watched) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := w.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	if s := w.last.Load(); s == nil || s.SecretAccessKey != c.SecretAccessKey || s.SessionToken != c.SessionToken {
		w.last.Store(&c)
	}
	return c, nil
}

// renewEvery is how long an identity lasts at least: a target that refuses every one must not have new credentials asked for
// again and again, for all the others.
const renewEvery = 10 * time.Second

var errJustRenewed = errors.New("credentials were read anew a moment ago")

// renew reads the configuration anew, unless somebody did so since the identity was in use. It fails where that was a moment
// ago: these are no better.
func (l *login) renew(ctx context.Context, used *identity) error {
	if l.current.Load() != used {
		return nil
	}
	if time.Since(used.renewed) < renewEvery {
		return errJustRenewed
	}
	fresh, err := l.load(ctx)
	if err != nil {
		return err
	}
	l.current.CompareAndSwap(used, &identity{fresh, time.Now()})
	return nil
}

const redacted = "[redacted]"

// redact takes out of a text what AWS, or whoever answered for it, must not have repeated: secrets, and values that were sent.
func (l *login) redact(text string) string {
	private := l.private
	for i := range l.secrets {
		if s := l.secrets[i].Load(); s != nil {
			private = append(slices.Clip(private), s.SessionToken, s.SecretAccessKey)
		}
	}
	for _, secret := range private {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	for _, mark := range []string{
		"AWS4-HMAC-SHA256",                // an Authorization header, or what is signed
		"parse failed of process output:", // the SDK's, of a credential_process, before what it wrote
	} {
		if i := strings.Index(text, mark); i >= 0 {
			text = text[:i] + redacted
		}
	}
	return redactValues(text)
}

// redactValues takes the value out of "Value '...' at 'member' failed to satisfy constraint": it may be the text of a log. A
// value may have quotes, so all is taken from the first value to the last member.
func redactValues(text string) string {
	const begin, end = "Value '", "' at '"
	from := strings.Index(text, begin)
	if from < 0 {
		return text
	}
	from += len(begin)
	if to := strings.LastIndex(text, end); to >= from {
		return text[:from] + redacted + text[to:]
	}
	return text[:from] + redacted
}

// A loginError says that there were no credentials to sign with.
type loginError struct{ err error }

func (e *loginError) Error() string { return fmt.Sprintf("no credentials: %v", e.err) }
func (e *loginError) Unwrap() error { return e.err }

// loadConfig reads the SDK's configuration: environment, profile, and the roles to take on. It does not ask for credentials.
func (l *login) loadConfig(ctx context.Context, o Options) (aws.Config, error) {
	// These requests are few, and come from where no context reaches: each has a timeout and a connection of its own.
	client := awshttp.NewBuildableClient().WithTimeout(loginTimeout).WithTransportOptions(func(t *http.Transport) {
		t.DisableKeepAlives = true
	})
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithLogger(logging.Nop{}),
		config.WithLogConfigurationWarnings(false),
	}
	if o.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(o.Profile))
	}
	if o.Region != "" && !strings.ContainsAny(o.Region, "{}") {
		options = append(options, config.WithRegion(o.Region))
	}
	bundle, err := o.bundle()
	if bundle != nil {
		options = append(options, config.WithCustomCABundle(bundle))
	}
	loaded, loadErr := config.LoadDefaultConfig(ctx, options...)
	if loadErr != nil {
		loadErr = fmt.Errorf("profile and environment: %w", loadErr)
	}
	if err := errors.Join(err, loadErr); err != nil {
		return aws.Config{}, err
	}
	loaded.AppID = cmp.Or(loaded.AppID, "sluice")
	loaded.Region = strings.TrimSpace(loaded.Region)
	l.takeOnRoles(&loaded, o)
	return loaded, nil
}

// bundle is the file of certificates to trust, for login and logs alike; nil where there is none.
func (o Options) bundle() (io.Reader, error) {
	if o.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: no certificate in %s", o.CAFile)
	}
	return bytes.NewReader(pem), nil
}

// roots are the certificates to trust, of the options or of AWS_CA_BUNDLE, which the SDK has put into its client; nil: the
// system's.
func (l *login) roots() *x509.CertPool {
	client, ok := l.config().HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return nil
	}
	return client.GetTransport().TLSClientConfig.RootCAs
}

const (
	loginTimeout   = 10 * time.Second
	defaultSession = "sluice"
)

// takeOnRoles puts the roles of the options before the chain's credentials: the web identity's first, with which the other is
// taken on.
func (l *login) takeOnRoles(c *aws.Config, o Options) {
	asker := func() *sts.Client {
		c.Credentials = watched{c.Credentials, &l.secrets[1]}
		return sts.NewFromConfig(*c, func(s *sts.Options) { s.Region = cmp.Or(s.Region, "us-east-1") })
	}
	if w := o.WebIdentity; w.RoleARN != "" {
		c.Credentials = aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(
			asker(), w.RoleARN, stscreds.IdentityTokenFile(w.TokenFile),
			func(r *stscreds.WebIdentityRoleOptions) { r.RoleSessionName = defaultSession }), early)
	}
	if a := o.AssumeRole; a.ARN != "" {
		c.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(asker(), a.ARN,
			func(r *stscreds.AssumeRoleOptions) {
				r.RoleSessionName = cmp.Or(a.SessionName, defaultSession)
				if a.ExternalID != "" {
					r.ExternalID = aws.String(a.ExternalID)
				}
			}), early)
	}
}

// early has credentials renewed before they expire, so that none does so on its way.
func early(c *aws.CredentialsCacheOptions) { c.ExpiryWindow = time.Minute }

// account stands for the account whose quota is used: the role's, or else what the credentials are read from.
func (o Options) account() string {
	for _, role := range []string{o.AssumeRole.ARN, o.WebIdentity.RoleARN} {
		if a, err := arn.Parse(role); err == nil {
			return a.AccountID
		}
	}
	return o.Profile
}
