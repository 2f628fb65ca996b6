package cloudwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sluicelog/sluice/engine/render"
)

// The values of Options.Format.
const (
	FormatBody = "body"
	FormatJSON = "json"
)

// The values of Options.Oversize.
const (
	OversizeSplit      = "split"
	OversizeDeadLetter = "dead_letter"
)

// The values of Options.Create.
const (
	CreateAll     = "all"
	CreateStreams = "streams"
	CreateNone    = "none"
)

// Options say where in AWS records go, as whom, and how. A zero field means its default, given beside it. Region, Group and
// Stream are templates, as [render.ParseTemplate] reads them; what AWS would not take in a name is replaced.
type Options struct {
	Region string `yaml:"region"` // where a template's value is missing, too: AWS_REGION, or the profile's
	Group  string `yaml:"group"`  // required
	Stream string `yaml:"stream"` // {tag}

	Endpoint    string      `yaml:"endpoint"` // URL instead of AWS's own: AWS_ENDPOINT_URL, or the region's
	Profile     string      `yaml:"profile"`  // of the shared configuration files: AWS_PROFILE, or default
	AssumeRole  AssumeRole  `yaml:"assume_role"`
	WebIdentity WebIdentity `yaml:"web_identity"`
	CAFile      string      `yaml:"ca_file"` // PEM of whom to trust: AWS_CA_BUNDLE, or the system's roots

	Format   string `yaml:"format"`    // body alone, or json: the whole record as a JSON object: body
	Oversize string `yaml:"oversize"`  // split into parts what is over the limit of an event, or dead_letter: split
	Gzip     bool   `yaml:"gzip"`      // compress requests
	PlainSDK bool   `yaml:"plain_sdk"` // the SDK's own encoding instead of ours: slower, should ours ever be wrong

	Keepalive       *bool         `yaml:"keepalive"`        // use connections again: true
	Timeout         time.Duration `yaml:"timeout"`          // of one attempt, from dialling to the answer: 30 s
	ResponseTimeout time.Duration `yaml:"response_timeout"` // from the end of a request to its answer's beginning: 15 s
	IdleTimeout     time.Duration `yaml:"idle_timeout"`     // an unused connection is closed after that; AWS does after 6 s: 4 s

	Create    string            `yaml:"create"`    // what is missing: all, streams, or none: all
	Retention int               `yaml:"retention"` // days, of AWS's list, of groups that we create: for ever
	Tags      map[string]string `yaml:"tags"`      // of groups that we create
	KMSKey    string            `yaml:"kms_key"`   // ARN, of groups that we create
	Class     string            `yaml:"class"`     // of groups that we create: STANDARD

	PutsPerSecond float64 `yaml:"puts_per_second"` // the quota of the credentials' account in a region: 5,000

	Quotas *Quotas      `yaml:"-"` // shared with the outputs of the same process: its own
	Log    *slog.Logger `yaml:"-"` // discarded

	Dial Dialer `yaml:"-"` // opens connections instead of the network, in tests
}

// AssumeRole is a role to take on, with the credentials that we have.
type AssumeRole struct {
	ARN         string `yaml:"arn"`
	ExternalID  string `yaml:"external_id"`
	SessionName string `yaml:"session_name"` // sluice
}

// WebIdentity is a role to take on with a token, as in Kubernetes.
type WebIdentity struct {
	RoleARN   string `yaml:"role_arn"`
	TokenFile string `yaml:"token_file"`
}

func (o Options) withDefaults() Options {
	o.Stream = cmp.Or(o.Stream, "{tag}")
	o.Format = cmp.Or(o.Format, FormatBody)
	o.Oversize = cmp.Or(o.Oversize, OversizeSplit)
	o.Create = cmp.Or(o.Create, CreateAll)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.ResponseTimeout = cmp.Or(o.ResponseTimeout, 15*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 4*time.Second)
	o.PutsPerSecond = cmp.Or(o.PutsPerSecond, 5000)
	if o.Quotas == nil {
		o.Quotas = NewQuotas()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// New makes an output. All that is wrong with the options is said at once, each by its key. It reads files and the
// environment, and asks nobody: that there are no credentials, or wrong ones, is found out by the first Write. ctx bounds New
// alone.
func New(ctx context.Context, o Options) (*Output, error) {
	o = o.withDefaults()
	n, nameErr := o.names()
	l, loginErr := newLogin(ctx, o)
	if loginErr == nil && nameErr == nil {
		nameErr = n.defaultRegion(o.Region, l.config().Region)
	}
	if err := errors.Join(nameErr, loginErr, o.checkRest()); err != nil {
		return nil, err
	}
	renderer, err := render.New(o.rendering())
	if err != nil {
		return nil, err
	}
	out := &Output{
		set:       o,
		limits:    awsLimits(),
		names:     n,
		renderer:  renderer,
		transport: newTransport(o, l.roots()),
		login:     l,
		regions:   regions{max: maxRegions},
		loads:     newStock[load](),
		payloads:  newStock[payload](),
	}
	o.Quotas.register(out.payer(), o.PutsPerSecond)
	return out, nil
}

// Check says what New would find wrong with the options by themselves, without files and the environment: joined errors, each
// of which begins with the option's key and a colon.
func (o Options) Check() error {
	o = o.withDefaults()
	_, err := o.names()
	return errors.Join(err, o.checkRest())
}

func (o Options) checkRest() error {
	return errors.Join(o.checkChoices(), o.checkLogin(), o.checkBounds(), o.checkCreate())
}

func (o Options) rendering() render.Options {
	if o.Format == FormatJSON {
		return render.Options{Format: render.FormatNDJSON}
	}
	return render.Options{Format: render.FormatText, Template: "{body}"}
}

func (o Options) names() (n names, err error) {
	var errs []error
	parse := func(key, template string) *render.Template {
		t, err := render.ParseTemplate(template)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		return t
	}
	if !strings.ContainsAny(o.Region, "{}") {
		errs = append(errs, checkRegion(o.Region))
	}
	n = names{parse("region", o.Region), parse("group", o.Group), parse("stream", o.Stream)}
	if o.Group == "" {
		errs = append(errs, errors.New("group: it must be given"))
	}
	return n, errors.Join(errs...)
}

// defaultRegion fills in what the environment says, where no region is given, and for records that have none.
func (n *names) defaultRegion(given, fallback string) (err error) {
	if given != "" && !strings.ContainsAny(given, "{}") {
		return nil
	}
	if fallback == "" {
		return errors.New("region: it must be given, here, in AWS_REGION or in the profile; the latter are for records without " +
			"one, where it is a template")
	}
	if err := checkRegion(fallback); err != nil {
		return fmt.Errorf("%w, which is AWS_REGION's or the profile's", err)
	}
	if given == "" {
		n.region, err = render.ParseTemplate(fallback)
	}
	if n.region != nil {
		n.region.Missing = fallback
	}
	return err
}

// checkRegion checks a region's name, if there is one.
func checkRegion(name string) error {
	if string(cleanRegion([]byte(name), 0)) != name || strings.Trim(name, "-") != name {
		return fmt.Errorf("region: %q is no region's name", name)
	}
	return nil
}
