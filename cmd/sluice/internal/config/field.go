package config

import (
	"reflect"
	"slices"
	"strings"
)

// A field is what a struct's tags say about one key of the config file. The decoder, the defaults and the schema all go by
// it, so they cannot disagree. The tags are:
//
//	yaml      the key
//	doc       what it means, for the schema
//	default   the value where the key is left out, as it would be written
//	enum      the only values, separated by commas
//	later     values that a later version takes
//	required  the key must be there and not be empty
//	secret    no fault may show the value
//	min, max  bounds of a number, a size or a duration; without min it must not be negative
type field struct {
	reflect.StructField
	Key      string
	Doc      string
	Default  string
	Enum     []string
	Later    []string
	Required bool
	Secret   bool
	Min, Max string
}

// later is the type of a section that this version does not have yet.
type later struct{}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for f := range t.Fields() {
		if f.Anonymous { // its keys are the struct's own
			for _, inner := range fieldsOf(f.Type) {
				inner.Index = slices.Concat(f.Index, inner.Index)
				fields = append(fields, inner)
			}
			continue
		}
		fields = append(fields, field{
			StructField: f,
			Key:         f.Tag.Get("yaml"),
			Doc:         f.Tag.Get("doc"),
			Default:     f.Tag.Get("default"),
			Enum:        list(f.Tag.Get("enum")),
			Later:       list(f.Tag.Get("later")),
			Required:    f.Tag.Get("required") != "",
			Secret:      f.Tag.Get("secret") != "",
			Min:         f.Tag.Get("min"),
			Max:         f.Tag.Get("max"),
		})
	}
	return fields
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// isLater reports whether the field is a section that this version does not have.
func (f field) isLater() bool { return f.Type == reflect.TypeFor[later]() }

// isSection reports whether a type is a map of keys in the file, rather than a value.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[Portion]()
}

// keys are the fields' keys, but for those of later versions.
func keys(fields []field) []string {
	var names []string
	for _, f := range fields {
		if !f.isLater() {
			names = append(names, f.Key)
		}
	}
	return names
}

func fieldOf(fields []field, key string) (field, bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.Key == key })
	if i < 0 {
		return field{}, false
	}
	return fields[i], true
}

// setDefaults sets all fields of a struct to the defaults in their tags.
func setDefaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		switch {
		case f.Default != "":
			if err := parseInto(v.FieldByIndex(f.Index), f, f.Default); err != nil {
				panic("config: default of " + f.Key + ": " + err.Error()) // a test reads them all
			}
		case isSection(f.Type):
			setDefaults(v.FieldByIndex(f.Index))
		}
	}
}
