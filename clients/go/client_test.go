package sluice_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// token authenticates by a bearer token, which gRPC sends over TLS alone.
type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

func (token) RequireTransportSecurity() bool { return true }

func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t)
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])))
	sluicev1.RegisterIngestServiceServer(server, g)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	defer func() { server.Stop(); <-served }()

	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	client, err := sluice.New(listener.Addr().String(), sluice.WithCredentials(token("t")),
		sluice.WithTLS(&tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close(t.Context()) }()
	s := open(t, client, sluice.StreamOptions{})
	log(t, s, 1, 3)
	closeClean(t, s)
	wantTaken(t, g, "s", numbers(1, 3), 0)

	// The system's roots, which New takes by itself, do not know this certificate.
	stranger, err := sluice.New(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close(t.Context()) }()
	told := make(chan error, 1)
	open(t, stranger, sluice.StreamOptions{Hooks: sluice.Hooks{OnReconnect: func(r sluice.Reconnect) {
		select {
		case told <- r.Err:
		default:
		}
	}}})
	if err := <-told; status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("connecting to a stranger: %v", err)
	}
}

func TestNewRefusesWhatIsNoAddress(t *testing.T) {
	if _, err := sluice.New("dns:///%zz"); err == nil {
		t.Error("no error")
	}
}

// Records of one goroutine keep their order, whatever the others do and however small the queue is.
func TestManyProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{QueueRecords: 5, BatchRecords: 3})
		var producers sync.WaitGroup
		for p := range 8 {
			producers.Go(func() {
				for i := range 100 {
					if err := s.Log(context.Background(), fmt.Sprint(p, " ", i)); err != nil {
						t.Error(err)
					}
					if i%20 == 0 {
						if err := s.Flush(context.Background()); err != nil {
							t.Error(err)
						}
						_ = s.Stats()
					}
				}
			})
		}
		for range 5 {
			time.Sleep(50 * time.Millisecond)
			g.cut(status.Error(codes.Unavailable, "cut"))
		}
		producers.Wait()
		closeClean(t, s)
		got, _ := g.taken("s")
		next := map[int]int{}
		for _, body := range got {
			var p, i int
			if _, err := fmt.Sscan(body, &p, &i); err != nil || i != next[p] {
				t.Errorf("%q, want %d: %v", body, next[p], err)
			}
			next[p] = i + 1
		}
		if len(got) != 800 {
			t.Errorf("%d records", len(got))
		}
	})
}
