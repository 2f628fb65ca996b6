package http

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// kind says how a status that is no success is to be taken.
func kind(code int, after time.Duration, err error) error {
	switch code {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return engine.RetryAfter(after, err)
	case http.StatusRequestEntityTooLarge:
		return engine.TooLarge(err)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return engine.Denied(err)
	case http.StatusRequestTimeout, http.StatusTooEarly:
	default:
		if code < 500 {
			return engine.Permanent("http_"+strconv.Itoa(code), err)
		}
	}
	if after > 0 {
		return engine.RetryAfter(after, err)
	}
	return engine.Retryable(err)
}

// maxAfter bounds what a destination may ask for: an output must not sleep for years because of a wrong unit.
const maxAfter = time.Hour

// retryAfter reads a Retry-After header, seconds or a date (RFC 9110, 10.2.3). 0 where there is none, or none that makes
// sense.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return time.Duration(min(n, uint64(maxAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxAfter)
}

// maxRequestID is how long a request's ID may be: longer than any UUID or trace ID.
const maxRequestID = 128

// requestID is what the destination calls the request by, in the header that most do that with; empty: it does not say.
func requestID(h http.Header) string {
	id := h.Get("X-Request-Id")
	if len(id) > maxRequestID || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return id
}

func status(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// hide takes our secrets out of an error that has any. Then its text is all that is left of it.
func (o *Output) hide(err error) error {
	if text := err.Error(); o.secrets.Replace(text) != text {
		return errors.New(o.secrets.Replace(text))
	}
	return err
}

// quote is the first part of what a destination said, as a suffix: on one line, and without our secrets.
func (o *Output) quote(said []byte) string {
	text := strings.TrimSpace(o.secrets.Replace(strings.ToValidUTF8(string(said), "\ufffd")))
	if text == "" {
		return ""
	}
	if len(text) > maxQuote {
		text = strings.ToValidUTF8(text[:maxQuote], "") + "..."
	}
	return ": " + strconv.Quote(text)
}

// secrets replaces what only the destination is to see, should it repeat it: the headers' values and their parts, and of the
// URL the user, the password, and the parts of its path and its query. What is shorter than minSecret is a word, not a secret.
func secrets(o Options, target *url.URL) *strings.Replacer {
	var words []string
	add := func(s string) {
		if len(s) >= minSecret {
			words = append(words, s)
		}
	}
	for _, value := range o.Headers {
		add(value)
		for _, part := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ,;=:\"", r) }) {
			add(part)
		}
	}
	if target.User != nil {
		user := target.User.Username()
		password, _ := target.User.Password()
		add(user)
		add(password)
		add(base64.StdEncoding.EncodeToString([]byte(user + ":" + password)))
	}
	for _, path := range []string{target.Path, target.EscapedPath()} {
		for part := range strings.SplitSeq(path, "/") {
			add(part)
		}
	}
	add(target.RawQuery)
	for _, values := range target.Query() {
		for _, value := range values {
			add(value)
			add(url.QueryEscape(value))
		}
	}
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) }) // the longest that matches is replaced
	var pairs []string
	for _, word := range words {
		pairs = append(pairs, word, "[redacted]")
	}
	return strings.NewReplacer(pairs...)
}

const minSecret = 6
