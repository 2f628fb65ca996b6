package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// An app is a program that logs through the SDK: a client, and a stream of it.
type app struct {
	*sluice.Stream
	t      testing.TB
	client *sluice.Client
}

// app starts one that logs to a gateway in the network.
func (n *network) app(t testing.TB, gateway string, o sluice.StreamOptions, opts ...grpc.DialOption) *app {
	t.Helper()
	return newApp(t, n.client(t, gateway, opts...), o)
}

func newApp(t testing.TB, client *sluice.Client, o sluice.StreamOptions) *app {
	t.Helper()
	stream, err := client.Stream(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &app{Stream: stream, t: t, client: client}
}

// log logs these bodies, in order.
func (a *app) log(bodies ...string) {
	a.t.Helper()
	for _, body := range bodies {
		if err := a.Log(a.t.Context(), body); err != nil {
			a.t.Fatal(err)
		}
	}
}

// flush returns once all that was logged is acked.
func (a *app) flush() {
	a.t.Helper()
	if err := a.Flush(a.t.Context()); err != nil {
		a.t.Error(err)
	}
}

// exit closes the client, which must have nothing left.
func (a *app) exit() {
	a.t.Helper()
	if err := a.client.Close(a.t.Context()); err != nil {
		a.t.Error(err)
	}
}

// numbered is so many bodies to log, all different.
func numbered(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("record ", i+1)
	}
	return all
}

// padded is numbered, at so many bytes each.
func padded(n, size int) []string {
	all := numbered(n)
	for i := range all {
		all[i] += strings.Repeat(".", size-len(all[i]))
	}
	return all
}
