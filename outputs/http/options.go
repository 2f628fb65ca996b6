package http

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/sluicelog/sluice/engine/render"
)

// The values of Options.Format.
const (
	FormatNDJSON = "ndjson"
	FormatJSON   = "json"
)

// Options say where batches are posted and how. A zero field means its default, given beside it. Sizes are in bytes.
type Options struct {
	// URL is http or https. User and password in it become basic authentication. Of it scheme and host alone are told.
	// Required.
	URL    string `yaml:"url"`
	Format string `yaml:"format"` // ndjson, one object a line, or json, one array: ndjson
	Gzip   bool   `yaml:"gzip"`   // compress bodies
	// Headers' values are never told, not even where the destination repeats them. Names that differ in case alone are the same.
	Headers map[string]string `yaml:"headers"`
	Key     string            `yaml:"key"`      // template of what must stay in order: one key for all
	MaxBody int64             `yaml:"max_body"` // of a body before compression; what does not fit goes into the next: 5 MiB

	Timeout     time.Duration `yaml:"timeout"`      // of one attempt, from dialling to the answer: 30 s
	IdleTimeout time.Duration `yaml:"idle_timeout"` // an unused connection is closed after that: 30 s
	TLS         TLS           `yaml:"tls"`
}

// TLS says whom to trust and who we are.
type TLS struct {
	CAFile             string `yaml:"ca_file"` // PEM; the system's roots otherwise
	CertFile           string `yaml:"cert_file"`
	KeyFile            string `yaml:"key_file"`
	ServerName         string `yaml:"server_name"`          // expected in the certificate: the URL's host
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"` // whoever answers is believed: for trials
}

func (o Options) withDefaults() Options {
	o.Format = cmp.Or(o.Format, FormatNDJSON)
	o.MaxBody = cmp.Or(o.MaxBody, 5<<20)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 30*time.Second)
	return o
}

// New makes an output. All that is wrong with the options is said at once, each by its key.
func New(o Options) (*Output, error) {
	o = o.withDefaults()
	var errs []error
	fault := func(err error) { errs = append(errs, err) }
	target, err := parseURL(o.URL)
	if err != nil {
		fault(fmt.Errorf("url: %w", err))
	}
	if o.Format != FormatNDJSON && o.Format != FormatJSON {
		fault(fmt.Errorf("format: %q is neither %s nor %s", o.Format, FormatNDJSON, FormatJSON))
	}
	header, err := o.header()
	if err != nil {
		fault(err)
	}
	key, err := render.ParseTemplate(o.Key)
	if err != nil {
		fault(fmt.Errorf("key: %w", err))
	}
	for _, bound := range []struct {
		name string
		n    int64
	}{{"max_body", o.MaxBody}, {"timeout", int64(o.Timeout)}, {"idle_timeout", int64(o.IdleTimeout)}} {
		if bound.n < 0 {
			fault(fmt.Errorf("%s: it must not be negative", bound.name))
		}
	}
	tlsConfig, err := o.TLS.config()
	if err != nil {
		fault(err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	renderer, err := render.New(render.Options{})
	if err != nil {
		return nil, err
	}
	return &Output{
		set:      o,
		target:   target,
		name:     publicName(target),
		header:   header,
		secrets:  secrets(o, target),
		key:      key,
		renderer: renderer,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				TLSClientConfig:       tlsConfig,
				ForceAttemptHTTP2:     true,
				MaxIdleConnsPerHost:   maxIdleConns,
				IdleConnTimeout:       o.IdleTimeout,
				ExpectContinueTimeout: time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// maxIdleConns is how many connections are kept for the next batch: more than fly at once in any sensible setting.
const maxIdleConns = 64

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return nil, errors.New("it must be given")
	case err != nil:
		if outer, ok := errors.AsType[*url.Error](err); ok { // it repeats the URL, which may have a password in it
			err = outer.Err
		}
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("its scheme is %q, not http or https", u.Scheme)
	case u.Host == "":
		return nil, errors.New("it has no host")
	}
	return u, nil
}

// publicName is the URL without what may be secret, which is all but scheme and host: many a receiver knows its senders by
// the path alone.
func publicName(u *url.URL) string { return u.Scheme + "://" + u.Host }

func (o Options) header() (http.Header, error) {
	h := http.Header{"User-Agent": {"sluice"}, "Content-Type": {"application/x-ndjson"}}
	if o.Format == FormatJSON {
		h.Set("Content-Type", "application/json")
	}
	if o.Gzip {
		h.Set("Content-Encoding", "gzip")
	}
	var errs []error
	given := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		value, canonical := o.Headers[name], http.CanonicalHeaderKey(name)
		if other, twice := given[canonical]; twice {
			errs = append(errs, fmt.Errorf("headers: %s and %s are the same", other, name))
		}
		given[canonical] = name
		if !httpguts.ValidHeaderFieldName(name) {
			errs = append(errs, fmt.Errorf("headers: %q is not a header's name", name))
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			errs = append(errs, fmt.Errorf("headers: the value of %s has a control character in it", name))
		}
		h.Set(name, value)
	}
	return h, errors.Join(errs...)
}

func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // it is asked for by this name
	}
	var errs []error
	if t.CAFile != "" {
		c.RootCAs = x509.NewCertPool()
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.ca_file: %w", err))
		} else if !c.RootCAs.AppendCertsFromPEM(pem) {
			errs = append(errs, fmt.Errorf("tls.ca_file: no certificate in %s", t.CAFile))
		}
	}
	switch {
	case (t.CertFile == "") != (t.KeyFile == ""):
		errs = append(errs, errors.New("tls.cert_file, tls.key_file: the one needs the other"))
	case t.CertFile != "":
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.cert_file, tls.key_file: %w", err))
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, errors.Join(errs...)
}
