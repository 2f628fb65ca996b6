package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
)

// Whatever a file holds, it is a config or it has faults, each with a place.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../../../../deploy/examples/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("examples %v, error %v", files, err)
	}
	for _, file := range append(files, filepath.Join("testdata", "faults.yaml")) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("outputs: &a [*a]\nroutes: &r {match: *r}\n? [a]\n: b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := config.Parse("f", data, testEnvironment())
		if err == nil {
			if limits := c.EngineLimits(1 << 30); len(c.Outputs) == 0 || limits.Streams < 1 || limits.Engine < 1 {
				t.Fatalf("config %+v, limits %+v", c, limits)
			}
			return
		}
		faults, ok := errors.AsType[*config.FaultsError](err)
		if !ok || c != nil || len(faults.Faults) == 0 {
			t.Fatalf("config %v, error %v", c, err)
		}
		for _, fault := range faults.Faults {
			if fault.Line < 1 || fault.Col < 1 || fault.Msg == "" {
				t.Fatalf("fault %+v", fault)
			}
		}
	})
}
