package config_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "17": 17, "17B": 17, "1KiB": 1024, "1KB": 1000, "1kb": 1000, "8MiB": 8 << 20, "8 MiB": 8 << 20, "1.5GiB": 3 << 29,
		"0.5KiB": 512, "2TB": 2e12, "-1": -1, "-1KiB": -1024, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := config.ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "B", "MiB", "8Mi", "8M", "8MiBs", "1e3", "0x10", "1_000", "NaN", "Inf", "8,5MiB", "9PiB", "9999999TiB", "25%", " 1", "1KiB ",
	} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}

func TestSizeReadsAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := config.Size(rapid.Int64Min(0).Draw(t, "bytes") >> rapid.IntRange(0, 62).Draw(t, "shift"))
		if got, err := config.ParseSize(size.String()); err != nil || got != size {
			t.Fatalf("%q is %d, %v; want %d", size.String(), got, err, int64(size))
		}
	})
}

func TestParsePortion(t *testing.T) {
	for text, want := range map[string]int64{"25%": 250, "0.1%": 1, "100%": 1000, "33.3 %": 333, "1KiB": 1024} {
		if p, err := config.ParsePortion(text); err != nil || p.Of(1000) != want {
			t.Errorf("%q of 1000 is %d, %v; want %d", text, p.Of(1000), err, want)
		}
	}
	for _, text := range []string{"0%", "101%", "-5%", "%", "NaN%", "x%"} {
		if p, err := config.ParsePortion(text); err == nil {
			t.Errorf("%q is %v, want an error", text, p)
		}
	}
}
