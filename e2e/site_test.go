package e2e

import (
	"testing"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/server"
)

// A site is a gateway in a network of its own, and the one destination that all goes to.
type site struct {
	*gateway
	net *network
	out *destination
}

// newSite starts the gateway, as "gateway". Its output is "out", on the default scheduler.
func newSite(t testing.TB, limits engine.Limits, o server.Options) *site {
	t.Helper()
	s := &site{net: &network{}, out: &destination{}}
	s.gateway = start(t, s.net.listen("gateway"), engine.Options{
		Limits: limits, Outputs: []engine.OutputOptions{keyed("out", s.out)},
	}, o)
	return s
}
