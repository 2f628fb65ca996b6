package server

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
	"github.com/sluicelog/sluice/server/compress"
)

func TestCompression(t *testing.T) {
	for _, name := range []string{"gzip", compress.S2, compress.Zstd} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, engine.Limits{}, Options{})
				defer r.finish()
				c, hangUp := r.client(grpc.WithDefaultCallOptions(grpc.UseCompressor(name)))
				defer hangUp()
				p := open(t.Context(), t, c, &sluicev1.Open{StreamId: "s1"})
				body := strings.Repeat("compress me ", 5000)
				for i := range uint64(5) {
					p.append(i+1, body)
				}
				p.until(acked(5))
				if got := r.out.bodies("s1"); len(got) != 5 || got[4] != body {
					t.Errorf("delivered %d records", len(got))
				}
				// 8 MiB in a few kilobytes are not unpacked.
				p.append(6, strings.Repeat("0", 8<<20))
				if err := p.end(); status.Code(err) != codes.ResourceExhausted {
					t.Errorf("bomb: %v", err)
				}
			})
		})
	}
}

func TestReflection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		conn := r.dial(nil)
		defer func() { _ = conn.Close() }()
		const service = "sluice.v1.IngestService"

		v1, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		ask := func(q *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			if err := v1.Send(q); err != nil {
				t.Fatal(err)
			}
			m, err := v1.Recv()
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		list := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
		for _, s := range list.GetListServicesResponse().GetService() {
			names = append(names, s.GetName())
		}
		if !slices.Contains(names, service) || !slices.Contains(names, "grpc.health.v1.Health") {
			t.Errorf("lists %v", names)
		}
		file := ask(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service + ".StreamLogs"},
		})
		if len(file.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("describes %v", file)
		}
		_ = v1.CloseSend()

		alpha, err := reflectionv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = alpha.CloseSend()
		if _, err := alpha.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("v1alpha: %v", err)
		}
	})
}

// Calls are logged when they end, with their code and never with what they carried.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := newRig(t, engine.Limits{}, Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		c, hangUp := r.client()
		request := &sluicev1.SendLogsRequest{Tag: "app.test", Records: records("secret-content")}
		if _, err := c.SendLogs(t.Context(), request); err != nil {
			t.Error(err)
		}
		p := open(t.Context(), t, c, &sluicev1.Open{})
		p.append(0, "secret-content")
		_ = p.CloseSend()
		_ = p.end()
		request.Tag = "nowhere"
		if _, err := c.SendLogs(t.Context(), request); err == nil {
			t.Error("was taken")
		}
		hangUp()
		r.finish()
		got := log.String()
		for _, want := range []string{
			`level=DEBUG msg="finished call"`, "grpc.code=OK", `level=WARN msg="finished call"`, "grpc.code=FailedPrecondition",
			"grpc.method=SendLogs", "grpc.method=StreamLogs", "grpc.service=sluice.v1.IngestService", "peer.address=pipe",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
		if strings.Contains(got, "secret-content") {
			t.Errorf("tells content:\n%s", got)
		}
	})
}
