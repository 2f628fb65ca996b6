package server

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
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
)

// writeCert makes a certificate that signs itself and serves as anything, and gives its files.
func writeCert(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sluice"}, DNSNames: []string{"sluice"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(100, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLS(t *testing.T) {
	cert, key := writeCert(t)
	strangerCert, strangerKey := writeCert(t)
	load := func(cert, key string) []tls.Certificate {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{pair}
	}
	known, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(known)
	cases := []struct {
		name   string
		server TLS
		client []tls.Certificate
		want   codes.Code
	}{
		{"one side", TLS{Cert: cert, Key: key}, nil, codes.OK},
		{"both sides", TLS{Cert: cert, Key: key, ClientCA: cert}, load(cert, key), codes.OK},
		{"without a certificate", TLS{Cert: cert, Key: key, ClientCA: cert}, nil, codes.Unavailable},
		{"with another's", TLS{Cert: cert, Key: key, ClientCA: cert}, load(strangerCert, strangerKey), codes.Unavailable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, engine.Limits{}, Options{TLS: c.server})
				defer r.finish()
				creds := credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: c.client, ServerName: "sluice", MinVersion: tls.VersionTLS13})
				conn := r.dial(func(c net.Conn) net.Conn { return c }, grpc.WithTransportCredentials(creds))
				defer func() { _ = conn.Close() }()
				_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
				if status.Code(err) != c.want {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestTLSFaults(t *testing.T) {
	cert, key := writeCert(t)
	for name, files := range map[string]TLS{
		"no key": {Cert: cert}, "missing file": {Cert: cert, Key: key + "x"}, "not a certificate": {Cert: key, Key: key},
		"client CA alone": {ClientCA: cert}, "client CA without a certificate": {Cert: cert, Key: key, ClientCA: key},
	} {
		if _, err := files.grpcOptions(); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}
