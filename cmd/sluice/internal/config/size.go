package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes, written with a unit: 8MiB, 500KB, 1.5GiB. A plain number is bytes.
type Size int64

// The binary units.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// units are the units that a size may be written in, those by which String renders first.
func units() []unit {
	return []unit{
		{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
	}
}

type unit struct {
	name  string
	bytes Size
}

// errSize says how sizes are written.
var errSize = errors.New("a size is a number and a unit, such as 8MiB (1024 x 1024) or 8MB (1000 x 1000)")

// ParseSize reads a size. Units may be in any case; a space before them is allowed.
func ParseSize(s string) (Size, error) {
	number, factor := s, Size(1)
	for _, u := range units() {
		if n := len(s) - len(u.name); n > 0 && strings.EqualFold(s[n:], u.name) {
			number, factor = strings.TrimRight(s[:n], " "), u.bytes
			break
		}
	}
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil && factor == 1 {
		return Size(whole), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.ContainsAny(number, "eExXpP_nN") {
		return 0, errSize
	}
	if bytes := f * float64(factor); math.Abs(bytes) < math.MaxInt64 {
		return Size(math.Round(bytes)), nil
	}
	return 0, errors.New("too large: a size is less than 8 million TiB")
}

// String is the size in the largest binary unit that gives a whole number.
func (s Size) String() string {
	for _, u := range units()[:4] {
		if s != 0 && s%u.bytes == 0 {
			return fmt.Sprintf("%d%s", s/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// A Portion is a part of a whole that is known only where it runs: a size, or a percentage such as 25%.
type Portion struct {
	Size    Size
	Percent float64 // instead of Size where it is not 0
}

// ParsePortion reads a size or a percentage.
func ParsePortion(s string) (Portion, error) {
	number, isPercent := strings.CutSuffix(s, "%")
	if !isPercent {
		size, err := ParseSize(s)
		return Portion{Size: size}, err
	}
	p, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(p > 0 && p <= 100) {
		return Portion{}, errors.New("a percentage is over 0% and at most 100%")
	}
	return Portion{Percent: p}, nil
}

// Of is the portion of a whole, in bytes.
func (p Portion) Of(whole int64) int64 {
	if p.Percent == 0 {
		return int64(p.Size)
	}
	return int64(float64(whole) * p.Percent / 100)
}

// String is the portion as it is written.
func (p Portion) String() string {
	if p.Percent != 0 {
		return strconv.FormatFloat(p.Percent, 'f', -1, 64) + "%"
	}
	return p.Size.String()
}

// IsZero reports whether the portion was not given.
func (p Portion) IsZero() bool { return p == Portion{} }
