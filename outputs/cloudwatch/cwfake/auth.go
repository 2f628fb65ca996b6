package cwfake

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The credentials that a server knows unless it is told others: AWS's own examples.
const (
	KeyID  = "AKIDEXAMPLE"
	Secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" //nolint:gosec // the documentation's example, open to all
)

// maxSkew is how far a request's date may be from the server's clock (IAM user guide, "Signature Version 4").
const maxSkew = 5 * time.Minute

const (
	algorithm  = "AWS4-HMAC-SHA256"
	dateLayout = "20060102T150405Z"
)

// Credentials are one access key that the server knows.
type Credentials struct {
	KeyID, Secret string
	Token         string    // the session token that must come with it; empty: none may
	Expires       time.Time // from then on ExpiredTokenException; zero: never
}

// A keyring is the part of the server that knows who may call.
type keyring struct {
	any     bool
	regions []string
	signer  *v4.Signer

	mu   sync.RWMutex // guards what follows
	keys map[string]Credentials
}

func newKeyring(o Options) *keyring {
	k := &keyring{any: o.AnyCredentials, regions: o.Regions, signer: v4.NewSigner()}
	k.set(o.Credentials)
	return k
}

func (k *keyring) set(cs []Credentials) {
	keys := make(map[string]Credentials, len(cs))
	for _, c := range cs {
		keys[c.KeyID] = c
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = keys
}

// SetCredentials replaces the credentials that the server knows, for all calls from now on.
func (s *Server) SetCredentials(cs ...Credentials) { s.keys.set(cs) }

// ExpireCredentials makes all credentials that the server knows expire now. [Server.SetCredentials] brings new ones.
func (s *Server) ExpireCredentials() {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	for id, c := range s.keys.keys {
		c.Expires = time.Now()
		s.keys.keys[id] = c
	}
}

// A signature is an Authorization header, taken apart.
type signature struct {
	keyID, date, region, service string
	headers                      []string
	at                           time.Time
}

// authenticate checks who signed the request, for when and where, and that the signature is over the body as sent.
func (k *keyring) authenticate(r *http.Request, q *request) error {
	sig, err := parseSignature(r.Header)
	if err != nil {
		return err
	}
	q.call.KeyID, q.call.Target.Region = sig.keyID, sig.region
	if err := k.checkScope(sig); err != nil {
		return err
	}
	stated := r.Header.Get("X-Amz-Content-Sha256")
	if k.any && stated == "" {
		return nil
	}
	sum := sha256.Sum256(q.body)
	hash := hex.EncodeToString(sum[:])
	if stated != "" && stated != hash {
		return invalid(codeInvalidSignature, "The X-Amz-Content-Sha256 is not that of the body.")
	}
	if k.any {
		return nil
	}
	c, err := k.find(sig.keyID, r.Header.Get("X-Amz-Security-Token"))
	if err != nil {
		return err
	}
	return k.verify(r, sig, c, hash)
}

// parseSignature reads what a signed request says of itself.
func parseSignature(h http.Header) (signature, error) {
	var s signature
	auth := h.Get("Authorization")
	if auth == "" {
		return s, invalid(codeMissingAuth, "Missing Authentication Token")
	}
	rest, ok := strings.CutPrefix(auth, algorithm+" ")
	fields := map[string]string{}
	for f := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(f), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	at, err := time.Parse(dateLayout, h.Get("X-Amz-Date"))
	if !ok || err != nil || len(scope) != 5 || scope[4] != "aws4_request" || fields["SignedHeaders"] == "" ||
		fields["Signature"] == "" {
		return s, invalid(codeIncomplete, "The Authorization or X-Amz-Date header is not of Signature Version 4.")
	}
	s = signature{keyID: scope[0], date: scope[1], region: scope[2], service: scope[3], at: at}
	s.headers = strings.Split(fields["SignedHeaders"], ";")
	return s, s.checkHeaders(h)
}

// checkHeaders checks that what must be signed is: the host, the content type, and all that begins with X-Amz-.
func (s signature) checkHeaders(h http.Header) error {
	must := []string{"host"}
	for name := range h {
		name = strings.ToLower(name)
		if name == "content-type" || strings.HasPrefix(name, "x-amz-") {
			must = append(must, name)
		}
	}
	for _, name := range must {
		if !slices.Contains(s.headers, name) {
			return invalid(codeInvalidSignature, "The header "+name+" is not signed.")
		}
	}
	return nil
}

// checkScope checks the credential scope and the request's date.
func (k *keyring) checkScope(s signature) error {
	switch {
	case s.service != "logs":
		return invalid(codeInvalidSignature, "Credential should be scoped to correct service: 'logs'.")
	case s.region == "" || len(k.regions) > 0 && !slices.Contains(k.regions, s.region):
		return invalid(codeInvalidSignature, "Credential should be scoped to a valid region.")
	case s.at.Format("20060102") != s.date:
		return invalid(codeInvalidSignature, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date.")
	}
	switch skew := time.Since(s.at).Truncate(time.Second); { // the date has seconds, no more
	case skew > maxSkew:
		return invalid(codeInvalidSignature, "Signature expired: it is more than 5 min old.")
	case skew < -maxSkew:
		return invalid(codeInvalidSignature, "Signature not yet current: it is more than 5 min ahead.")
	}
	return nil
}

// find gives the known credentials with this key and session token.
func (k *keyring) find(id, token string) (Credentials, error) {
	k.mu.RLock()
	c, ok := k.keys[id]
	k.mu.RUnlock()
	switch {
	case !ok, token != c.Token:
		return c, invalid(codeUnrecognizedToken, "The security token included in the request is invalid.")
	case !c.Expires.IsZero() && !time.Now().Before(c.Expires):
		return c, invalid(codeExpired, "The security token included in the request is expired")
	}
	return c, nil
}

// verify signs the request again, as it was said to be signed, and compares.
func (k *keyring) verify(r *http.Request, s signature, c Credentials, hash string) error {
	again := &http.Request{
		Method: r.Method,
		URL:    &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery},
		Host:   r.Host,
		Header: http.Header{},
	}
	for _, name := range s.headers {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			key := textproto.CanonicalMIMEHeaderKey(name)
			again.Header[key] = slices.Clone(r.Header[key])
		}
	}
	known := aws.Credentials{AccessKeyID: c.KeyID, SecretAccessKey: c.Secret, SessionToken: c.Token}
	if err := k.signer.SignHTTP(r.Context(), known, again, hash, s.service, s.region, s.at); err != nil {
		return err
	}
	got, want := []byte(r.Header.Get("Authorization")), []byte(again.Header.Get("Authorization"))
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return invalid(codeInvalidSignature, "The request signature we calculated does not match the signature you provided.")
	}
	return nil
}
