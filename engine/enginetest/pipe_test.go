package enginetest_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sluicelog/sluice/engine/enginetest"
)

// Connections begin together in a bubble under the race detector: with gRPC's bufconn this ends the process.
func TestPipe(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			p := enginetest.NewPipe()
			var accepting, dialing sync.WaitGroup
			accepted := 0
			accepting.Go(func() {
				for {
					c, err := p.Accept()
					if err != nil {
						return
					}
					accepted++
					_ = c.Close()
				}
			})
			for range 8 {
				dialing.Go(func() {
					for range 100 {
						c, err := p.Dial(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						_ = c.Close()
					}
				})
			}
			dialing.Wait()
			_ = p.Close()
			accepting.Wait()
			if accepted != 800 {
				t.Errorf("%d connections of 800 were accepted", accepted)
			}
		})
	}
}

func TestPipeThatNobodyAccepts(t *testing.T) {
	p := enginetest.NewPipe()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("dial: %v", err)
	}
	_ = p.Close()
	if _, err := p.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after close: %v", err)
	}
	if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}
