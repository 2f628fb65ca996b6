package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// defaultPort is IngestService's, which is OTLP's.
const defaultPort = "4317"

// gatewayAddress is what the SDK is to dial: host and port, or one of gRPC's own names as it is.
func gatewayAddress(given string) (string, error) {
	if scheme, _, found := strings.Cut(given, ":"); found && slices.Contains([]string{"dns", "unix", "passthrough"}, scheme) {
		return given, nil
	}
	host, port, err := net.SplitHostPort(given)
	if err != nil { // such as no port
		host, port, err = net.SplitHostPort(given + ":" + defaultPort)
	}
	n, errPort := strconv.ParseUint(port, 10, 16)
	if given == "" || err != nil || errPort != nil || n == 0 || strings.ContainsAny(host, "/@ ") {
		return "", fmt.Errorf("--addr %q: want HOST:PORT, such as 127.0.0.1:4317 or [::1]:4317", given)
	}
	return net.JoinHostPort(host, port), nil
}

// dialOptions say how the gateway is reached: in plaintext, or with TLS as the flags want it.
func (c sendCmd) dialOptions() ([]sluice.Option, error) {
	if !c.TLS && c.CA == "" && c.Cert == "" && c.Key == "" {
		return []sluice.Option{sluice.WithPlaintext()}, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("--ca: %w", err)}
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &exitError{exitUsage, fmt.Errorf("--ca: no certificate in %s", c.CA)}
		}
	}
	if c.Cert != "" || c.Key != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("--cert and --key: %w", err)}
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return []sluice.Option{sluice.WithTLS(conf)}, nil
}
