package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseInto reads a scalar as it is written in a file into a field, and holds it to the field's bounds. After an error the
// field is as it was, so that later checks do not stumble over the same fault.
func parseInto(into reflect.Value, f field, text string) error {
	v := reflect.New(into.Type()).Elem()
	if err := parseScalar(v, text); err != nil {
		return err
	}
	if err := checkEnum(f, text); err != nil {
		return err
	}
	if err := checkBounds(v, f); err != nil {
		return err
	}
	into.Set(v)
	return nil
}

func parseScalar(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("a duration is a number and a unit, such as 500ms, 20s, 1m30s or 12h")
		}
		*p = d
	case *Size:
		size, err := ParseSize(text)
		if err != nil && strings.HasSuffix(text, "%") {
			return errors.New("a percentage has no meaning here: " + err.Error())
		}
		*p = size
		return err
	case *Portion:
		portion, err := ParsePortion(text)
		*p = portion
		return err
	case *Mode:
		if n, err := strconv.ParseUint(text, 8, 32); err != nil || n > 0o777 {
			return errors.New("want an octal mode such as 0640")
		}
		*p = Mode(text)
	case *string:
		*p = text
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("want a whole number")
		}
		*p = n
	case *float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || x != x {
			return errors.New("want a number")
		}
		*p = x
	case *bool:
		if text != "true" && text != "false" {
			return errors.New("want true or false")
		}
		*p = text == "true"
	default:
		panic(fmt.Sprintf("config: no such scalar: %T", p))
	}
	return nil
}

func checkEnum(f field, text string) error {
	switch {
	case len(f.Enum) == 0 || slices.Contains(f.Enum, text):
		return nil
	case slices.Contains(f.Later, text):
		return errors.New("not available in this version; there is " + strings.Join(f.Enum, ", "))
	default:
		return errors.New("no such " + f.Key + "; " + suggest(text, f.Enum))
	}
}

// checkBounds holds a number of any type to min and max of its field, which are written as values of its type.
func checkBounds(v reflect.Value, f field) error {
	got, bounded := magnitude(v)
	if !bounded {
		return nil
	}
	bound := func(text string) float64 {
		limit := reflect.New(v.Type()).Elem()
		if err := parseScalar(limit, text); err != nil {
			panic("config: bound of " + f.Key + ": " + err.Error())
		}
		x, _ := magnitude(limit)
		return x
	}
	switch {
	case f.Min == "" && got < 0:
		return errors.New("must not be negative")
	case f.Min != "" && got < bound(f.Min):
		return errors.New("must be at least " + f.Min)
	case f.Max != "" && got > bound(f.Max):
		return errors.New("must be at most " + f.Max)
	}
	return nil
}

func magnitude(v reflect.Value) (x float64, bounded bool) {
	if p, ok := reflect.TypeAssert[Portion](v); ok {
		return float64(p.Size), p.Percent == 0
	}
	switch {
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}

// A Mode is a file's permissions in octal digits, which YAML takes for a number unless they are quoted.
type Mode string

// wants names what a field takes, for a fault about something of another kind.
func wants(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 500ms or 20s"
	case reflect.TypeFor[Size]():
		return "a size such as 8MiB"
	case reflect.TypeFor[Portion]():
		return "a size such as 8MiB or a percentage such as 25%"
	}
	switch t.Kind() {
	case reflect.String:
		if t == reflect.TypeFor[Mode]() {
			return "an octal mode such as 0640"
		}
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	default:
		return "a map of keys and values"
	}
}
