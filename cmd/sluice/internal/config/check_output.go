package config

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/sluicelog/sluice/engine/render"
)

// outputs checks each output by itself.
func (k *checker) outputs(c *Config) {
	files := map[string]string{}
	for i, o := range c.Outputs {
		k.scheduler(i, o.Scheduler)
		if o.Retry.Cap < o.Retry.Base {
			k.refuse(outputPath(i, "retry.base"), "is more than cap, %s", o.Retry.Cap)
		}
		if o.DeadLetter == "" && k.given(outputPath(i, "dead_letter")) {
			k.refuse(outputPath(i, "dead_letter"), "must not be empty; leave it out to drop what is refused")
		}
		switch {
		case o.Stdout != nil:
			k.format(outputPath(i, "stdout"), o.Stdout.Format)
		case o.File != nil:
			k.file(outputPath(i, "file"), *o.File)
			if other, taken := files[o.File.Path]; taken && o.File.Path != "" {
				k.refuse(outputPath(i, "file.path"), "the output %q writes to this path already", other)
			}
			files[o.File.Path] = o.Name
		case o.HTTP != nil:
			k.http(outputPath(i, "http"), *o.HTTP)
		case o.CloudWatch != nil:
			k.cloudwatch(outputPath(i, "cloudwatch"), *o.CloudWatch)
		}
	}
}

func (k *checker) scheduler(i int, s Scheduler) {
	if s.Type != "sync" {
		return
	}
	if path := outputPath(i, "scheduler.adaptive"); s.Adaptive {
		k.refuse(path, "sync has one batch in flight, so there is nothing to adapt; did you mean type keyed?")
	}
	if path := outputPath(i, "scheduler.in_flight"); k.given(path) && s.InFlight != 1 {
		k.refuse(path, "sync has one batch in flight; did you mean type keyed?")
	}
}

func (k *checker) format(path string, f Format) {
	if f.Format == render.FormatText {
		if _, err := render.ParseLine(f.Template); err != nil {
			k.refuse(path+".template", "%v", err)
		}
		return
	}
	if f.Template != "" {
		k.refuse(path+".template", "is for format text")
	}
	if f.EscapeNewlines {
		k.refuse(path+".escape_newlines", "is for format text")
	}
}

func (k *checker) file(path string, f File) {
	k.format(path, f.Format)
	if _, err := render.ParseTemplate(f.Path); err != nil {
		k.refuse(path+".path", "%v", err)
	}
}

// http checks an output's options. The URL and the headers may hold secrets: none of their values is shown.
func (k *checker) http(path string, h HTTP) {
	u, err := url.Parse(h.URL)
	switch {
	case h.URL == "":
	case err != nil:
		k.refuse(path+".url", "is not a URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		k.refuse(path+".url", "want http://host/path or https://host/path")
	case u.Scheme == "http" && h.TLS != nil:
		k.refuse(path+".tls", "is for https://")
	case u.Scheme == "http" && u.User != nil && !isLoopback(hostPort(u)):
		k.warn(path+".url", "sends a password in plaintext")
	}
	given := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		at, canonical := join(path+".headers", name), http.CanonicalHeaderKey(name)
		other, twice := given[canonical]
		given[canonical] = name
		switch {
		case twice:
			k.refuse(at, "is the header %s again", other)
		case !httpguts.ValidHeaderFieldName(name):
			k.refuse(at, "is no name of a header")
		case !httpguts.ValidHeaderFieldValue(h.Headers[name]):
			k.refuse(at, "a header's value has no line breaks nor control characters")
		}
	}
	if t := h.TLS; t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		k.refuse(path+".tls", "cert_file and key_file come together")
	}
	if _, err := render.ParseTemplate(h.Key); err != nil {
		k.refuse(path+".key", "%v", err)
	}
}

func hostPort(u *url.URL) string { return strings.TrimSuffix(u.Host, ":"+u.Port()) + ":" + u.Port() }
