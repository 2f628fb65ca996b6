package cloudwatch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"time"
)

// A transport sends the SDK's requests: as they are, redirects are not followed. What is read of an answer is bounded.
type transport struct{ *http.Transport }

const (
	maxIdleConns = 256     // that are kept for the next batch, for each endpoint: more than fly at once in any sensible setting
	maxAnswer    = 1 << 20 // bytes of an answer that are read
	dialTimeout  = 10 * time.Second
)

func newTransport(o Options, roots *x509.CertPool) *transport {
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return &transport{&http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dial,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			ClientSessionCache: tls.NewLRUClientSessionCache(maxRegions), // for those who use no connection again
		},
		TLSHandshakeTimeout:   dialTimeout,
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2
		MaxIdleConnsPerHost:   maxIdleConns,
		IdleConnTimeout:       o.IdleTimeout,
		ResponseHeaderTimeout: o.ResponseTimeout,
		DisableKeepAlives:     o.Keepalive != nil && !*o.Keepalive,
		DisableCompression:    true,
	}}
}

// A Dialer opens connections, as [net.Dialer.DialContext] does.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Do implements the SDK's HTTPClient. It reads the answer whole: the time that an attempt has ends with it. Of one that breaks
// off the SDK is given what came, and then the error: its header may say enough.
//
// The SDK closes a request's body as soon as the answer is there, which the transport, that may still be looking whether there
// is more of it, takes for a failed write where the body has a WriteTo, and throws the connection away. With one, that close
// would also wait for a write to a network that is stuck, and no deadline would hold. So the body shows none.
func (t *transport) Do(r *http.Request) (*http.Response, error) {
	a := attemptOf(r.Context())
	if a == nil {
		return t.do(r)
	}
	ctx, end, err := a.depart(r.Context())
	if err != nil {
		return nil, err
	}
	defer end()
	r = r.WithContext(ctx)
	r.Body = attemptBody{r.Body, a.batch.Sent}
	return t.do(r)
}

func (t *transport) do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	answer, err := t.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
	return answer, nil
}

// broken is where an answer broke off; with a nil error, where it ended.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) {
	if b.err == nil {
		return 0, io.EOF
	}
	return 0, b.err
}
