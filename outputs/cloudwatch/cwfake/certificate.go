package cwfake

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"time"
)

// A certificate is made when it is first asked for.
type certificate struct {
	once sync.Once
	cert tls.Certificate
}

// get makes the certificate: self-signed, for localhost, the loopback addresses and names that are none (RFC 2606), and its own
// authority.
func (c *certificate) get() tls.Certificate {
	c.once.Do(func() {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err) // the system has no randomness
		}
		now := time.Now()
		template := &x509.Certificate{
			SerialNumber:          big.NewInt(now.UnixNano()),
			Subject:               pkix.Name{CommonName: "cwfake"},
			NotBefore:             now.Add(-time.Hour),
			NotAfter:              now.AddDate(10, 0, 0),
			DNSNames:              []string{"localhost", "*.invalid"}, // what a listener in memory calls itself
			IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
			KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
			ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			BasicConstraintsValid: true,
			IsCA:                  true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			panic(err) // the template above is wrong
		}
		c.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	})
	return c.cert
}

// CertPEM is the server's self-signed certificate, as AWS_CA_BUNDLE wants it in a file.
func (s *Server) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.tls.get().Certificate[0]})
}

// CertPool is the server's self-signed certificate, for a client's tls.Config.
func (s *Server) CertPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CertPEM())
	return pool
}

// A tlsListener is known by [Server.Start], which gives its URL.
type tlsListener struct{ net.Listener }

// TLS puts the server's certificate before a listener: s.Start(s.TLS(l)).
func (s *Server) TLS(l net.Listener) net.Listener {
	return tlsListener{tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{s.tls.get()},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	})}
}
