package cloudwatch

import (
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

// Do implements the SDK's HTTPClient. The SDK closes a request's body as soon as the answer is there, which the transport,
// that may still be looking whether there is more of it, takes for a failed write where the body has a WriteTo, and throws the
// connection away. With one, that close would also wait for a write to a network that is stuck, and no deadline would hold.
// So the body shows none.
func (t *transport) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = readCloser{r.Body, r.Body}
	}
	answer, err := t.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = readCloser{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	return answer, nil
}

// A readCloser is read and closed, and nothing else.
type readCloser struct {
	io.Reader
	io.Closer
}
