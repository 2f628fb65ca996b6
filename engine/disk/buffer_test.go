package disk

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBuffer(t *testing.T) {
	enginetest.TestBuffer(t, func(t testing.TB, outputs []engine.BufferOutput) engine.Buffer {
		b, err := Open(Options{Dir: t.TempDir(), Sync: seglog.SyncNever}, outputs)
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}
