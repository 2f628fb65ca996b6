package e2e

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
	"github.com/sluicelog/sluice/server"
)

// culprit is the stream, and its tag's first part, of whoever misbehaves on a scene.
const culprit = "culprit"

// A scene is a gateway with somebody on it who misbehaves, and two bystanders: one whose stream goes to the same output
// as the culprit's, and to another one too; and one whose stream goes to that other output alone. The culprit's stream
// goes to both outputs.
type scene struct {
	*gateway
	t     *testing.T
	net   *network
	conn  *grpc.ClientConn // the culprit's, plain; it sends wire
	out   *destination     // where things go wrong; what it refuses for good are dead letters
	dead  *destination
	other *destination
	near  *bystander
	far   *bystander
	ends  []func() // of what goes wrong
}

// streamLimit is every stream's limit on a scene, its ceiling twice that.
const streamLimit = 64 << 10

// play plays a case in a bubble. The series in counted must rise by so much while it lasts.
func play(t *testing.T, act func(s *scene), counted map[string]float64) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, net: &network{}, out: &destination{}, dead: &destination{}, other: &destination{}}
		s.gateway = s.startAt("gateway")
		s.conn = s.net.connect(t, sendsWire())
		s.near, s.far = newBystander(t, s.net, "near", "app.near"), newBystander(t, s.net, "far", "other")
		time.Sleep(2 * time.Second)
		before := s.metrics()
		act(s)
		synctest.Wait() // for calls that end as the act does
		after := s.metrics()
		for _, series := range slices.Sorted(maps.Keys(counted)) {
			rise, want := after[series]-before[series], counted[series]
			if rise != want && (want != some || rise <= 0) {
				t.Errorf("%s rose by %v, want %v", series, rise, want)
			}
		}
		time.Sleep(2 * time.Second)
		s.near.finish(t, s.out, s.other)
		s.far.finish(t, s.other)
		for _, end := range s.ends {
			end()
		}
		s.out.will(nil)
		if err := s.conn.Close(); err != nil {
			t.Error(err)
		}
		s.stop()
	})
}

// some is for series that rise by how much is not the point.
const some = -1

func (s *scene) startAt(name string) *gateway {
	out := keyed("out", s.out)
	out.DeadLetter = "dead"
	return start(s.t, s.net.listen(name), engine.Options{
		Limits:  engine.Limits{Stream: streamLimit},
		Outputs: []engine.OutputOptions{out, keyed("dead", s.dead), keyed("other", s.other)},
		Routes:  []engine.Route{{Match: "app.**", Outputs: []string{"out", "other"}}, {Match: "other", Outputs: []string{"other"}}},
	}, server.Options{})
}

// producer opens the culprit's stream.
func (s *scene) producer(o *sluicev1.Open) *producer {
	s.t.Helper()
	return newProducer(s.t.Context(), s.t, s.conn).open(asCulprit(o))
}

func asCulprit(o *sluicev1.Open) *sluicev1.Open {
	o.StreamId, o.Tag = culprit, "app."+culprit
	return o
}

// refuses makes the output refuse the culprit's records, for now, until it is told otherwise.
func (s *scene) refuses() {
	s.out.will(func(_ context.Context, b *engine.Batch) error {
		if b.Key == culprit {
			return errors.New("not now")
		}
		return nil
	})
}

// wantDelivered checks that these came of the culprit, at both outputs.
func (s *scene) wantDelivered(bodies ...string) {
	s.t.Helper()
	wantBodies(s.t, s.out, culprit, bodies)
	wantBodies(s.t, s.other, culprit, bodies)
}
