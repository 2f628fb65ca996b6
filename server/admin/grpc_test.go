package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// The server is stopped under a replay and under a session of reflection: all end at once, and the replay says how far it came.
func TestStopEndsCalls(t *testing.T) {
	in(t, fill(4, "x"), slow(60, time.Minute), func(t *testing.T, r *rig) {
		reflected, err := reflectionv1.NewServerReflectionClient(r.conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, err := reflected.Recv(); err == nil {
				t.Error("reflection went on")
			}
		})
		calls.Go(func() {
			told, err := r.replays(t.Context(), nil)
			wantStatus(t, err, codes.Unavailable, "the gateway is going away")
			if n := len(told); n != 6 || told[n-1].GetReplayed() != 5 || told[n-1].GetDone() {
				t.Errorf("told %v", told)
			}
		})
		time.Sleep(5*time.Minute + time.Second)
		calls.Go(func() { // reflection is over by now: nothing came of its caller
			reflected, err := reflectionv1.NewServerReflectionClient(r.conn).ServerReflectionInfo(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := reflected.Recv(); err == nil {
				t.Error("reflection went on")
			}
		})
		synctest.Wait()
		began := time.Now()
		r.finish()
		calls.Wait()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// From Drain on nothing begins, though requests are still answered.
func TestDrainRefuses(t *testing.T) {
	s := fill(4, "x")
	in(t, s, slow(1, time.Second), func(t *testing.T, r *rig) {
		r.Drain()
		_, _, err := r.list(&sluicev1.ListDeadLettersRequest{})
		wantStatus(t, err, codes.Unavailable, "going away")
		_, err = r.replays(t.Context(), nil)
		wantStatus(t, err, codes.Unavailable, "going away")
		_, err = r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{All: true})
		wantStatus(t, err, codes.Unavailable, "going away")
		if left := s.ids(); len(left) != 4 {
			t.Errorf("left %v", left)
		}
	})
}

// A caller that does not read is cut off in the end, and a stop that cannot wait for it does so at once.
func TestCallerThatDoesNotRead(t *testing.T) {
	big := strings.Repeat("x", 50_000)
	s := fill(200, big)
	in(t, s, noReplay, func(t *testing.T, r *rig) {
		ss, err := r.ListDeadLetters(t.Context(), &sluicev1.ListDeadLettersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(writeTimeout + time.Second)
		n := 0
		for {
			m, err := ss.Recv()
			if err != nil {
				wantStatus(t, err, codes.Internal, "")
				break
			}
			n += len(m.GetDeadLetters())
		}
		if n == 200 { // how many came is a matter of windows: a whole response may be more than the first one
			t.Error("all letters came")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, s, noReplay)
		ss, err := r.ListDeadLetters(t.Context(), &sluicev1.ListDeadLettersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := r.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		for err == nil {
			_, err = ss.Recv()
		}
		_ = r.conn.Close()
		r.serve.Wait()
	})
}

func TestPanics(t *testing.T) {
	s := fill(4, "x")
	s.onRead = func(id uint64) {
		if id == 2 {
			panic("secret")
		}
	}
	broken := func(context.Context, engine.LetterFilter, func(int64)) (int64, error) { panic("secret") }
	in(t, s, broken, func(t *testing.T, r *rig) {
		const want = "the gateway failed on this call; its log says why"
		for range 2 { // nothing stays locked
			_, _, err := r.list(&sluicev1.ListDeadLettersRequest{})
			wantStatus(t, err, codes.Internal, want)
			_, err = r.replays(t.Context(), nil)
			wantStatus(t, err, codes.Internal, want)
			_, err = r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{All: true})
			wantStatus(t, err, codes.Internal, want)
		}
		r.finish()
		if got := strings.Count(r.logs.String(), `msg="panic in a call" panic=secret stack="goroutine `); got != 6 {
			t.Errorf("%d panics in\n%s", got, &r.logs)
		}
	})
}

func TestReflection(t *testing.T) {
	in(t, fill(0, ""), noReplay, func(t *testing.T, r *rig) {
		ss, err := reflectionv1.NewServerReflectionClient(r.conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := ss.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		m, err := ss.Recv()
		if err != nil || !strings.Contains(m.String(), "sluice.v1.AdminService") {
			t.Errorf("answered %v, %v", m, err)
		}
		_ = ss.CloseSend()
		if _, err := ss.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
	})
}

// A caller that sends without end is not listened to without end: gRPC would pile up what its handler does not come to.
func TestEndlessRequest(t *testing.T) {
	question, err := proto.Marshal(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	if err != nil {
		t.Fatal(err)
	}
	in(t, fill(0, ""), noReplay, func(t *testing.T, r *rig) {
		body, sending := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			"http://sluice"+reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName, body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/grpc")
		request.Header.Set("TE", "trailers")
		client := r.http2()
		defer client.CloseIdleConnections()
		sent := 0
		var send sync.WaitGroup
		send.Go(func() {
			message := slices.Repeat(frame(question), 1000)
			for sent < 16<<20 {
				n, err := sending.Write(message)
				sent += n
				if err != nil {
					return
				}
			}
			_ = sending.Close()
		})
		response, err := client.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		send.Wait() // nothing is read until then
		_ = response.Body.Close()
		if sent >= 16<<20 {
			t.Errorf("sent %d bytes", sent)
		}
	})
}

// frame is a message as gRPC sends it.
func frame(message []byte) []byte { return append([]byte{0, 0, 0, 0, byte(len(message))}, message...) }

// http2 speaks HTTP/2 without TLS.
func (r *rig) http2() *http.Transport {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return &http.Transport{DialContext: r.lis.DialContext, Protocols: p}
}

// Requests that are not gRPC's are answered as ever, over both versions of HTTP on one port.
func TestBothVersions(t *testing.T) {
	in(t, fill(1, "x"), noReplay, func(t *testing.T, r *rig) {
		r.SetReady(true)
		for major, client := range map[int]*http.Transport{1: {DialContext: r.lis.DialContext}, 2: r.http2()} {
			for path, want := range map[string]string{"/livez": `"ok"`, "/readyz": `"ok"`, "/metrics": "sluice_build_info"} {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://sluice"+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || response.ProtoMajor != major || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
					t.Errorf("HTTP/%d %s: %s, %v, %s", major, path, response.Status, err, body)
				}
			}
			client.CloseIdleConnections()
		}
		if got, _, err := r.list(&sluicev1.ListDeadLettersRequest{}); err != nil || len(got) != 1 {
			t.Errorf("gRPC: %d letters, %v", len(got), err)
		}
	})
}

// What a page in a browser can send here from elsewhere reaches no call.
func TestBrowsers(t *testing.T) {
	message, err := proto.Marshal(&sluicev1.DropDeadLettersRequest{All: true})
	if err != nil {
		t.Fatal(err)
	}
	body := frame(message)
	s := fill(3, "x")
	in(t, s, noReplay, func(t *testing.T, r *rig) {
		send := func(client *http.Transport, method, contentType string) (int, http.Header) {
			request, err := http.NewRequestWithContext(t.Context(), method,
				"http://sluice"+sluicev1.AdminService_DropDeadLetters_FullMethodName, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Origin", "http://evil.example")
			request.Header.Set("TE", "trailers")
			if contentType != "" {
				request.Header.Set("Content-Type", contentType)
			}
			response, err := client.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			return response.StatusCode, response.Header
		}
		one, two := &http.Transport{DialContext: r.lis.DialContext}, r.http2()
		defer one.CloseIdleConnections()
		defer two.CloseIdleConnections()
		for _, client := range []*http.Transport{one, two} {
			// These three need no preflight, nor does a body without a type.
			for _, simple := range []string{
				"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain; application/grpc",
			} {
				if code, _ := send(client, http.MethodPost, simple); code != http.StatusNotFound {
					t.Errorf("%q: %d", simple, code)
				}
			}
			// The preflight that all others need is not granted.
			if code, header := send(client, http.MethodOptions, ""); code < 300 || header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("preflight: %d, %v", code, header)
			}
		}
		// And where a name was made to point here, so that none is needed: browsers have no HTTP/2 without TLS.
		if code, _ := send(one, http.MethodPost, "application/grpc"); code != http.StatusHTTPVersionNotSupported {
			t.Errorf("gRPC over HTTP/1.1: %d", code)
		}
		if left := s.ids(); len(left) != 3 {
			t.Fatalf("left %v", left)
		}
		if code, _ := send(two, http.MethodPost, "application/grpc"); code != http.StatusOK || len(s.ids()) != 0 {
			t.Errorf("the same request where it may be sent: %d, left %v", code, s.ids())
		}
	})
}
