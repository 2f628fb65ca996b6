package config

import (
	"encoding/json"
	"reflect"
	"strconv"
	"time"
)

// Schema is the JSON Schema of the config file, for editors. It is made of the same tags as the decoder goes by.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[Config](), field{})
	s.Schema, s.Title = "https://json-schema.org/draft/2020-12/schema", "sluice config"
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}

// A schema is the part of JSON Schema that the config needs.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // a string, or a list of them
	Default     any                `json:"default,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false, or a schema
	Items       *schema            `json:"items,omitempty"`
	MinItems    int                `json:"minItems,omitempty"`
}

// What values with units look like. ${NAME} may stand in any of them, so strings are held to no more than this.
const (
	durationPattern = `^(0|([0-9.]+(ns|us|µs|ms|s|m|h))+)$|\$\{`
	sizePattern     = `^[0-9.]+ ?(([KMGTkmgt][Ii]?)?[Bb])?$|\$\{`
	portionPattern  = `^[0-9.]+ ?(%|([KMGTkmgt][Ii]?)?[Bb])?$|\$\{`
	modePattern     = `^0?[0-7]{3}$|\$\{`
	envPattern      = `\$\{`
)

func schemaOf(t reflect.Type, f field) *schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := &schema{Description: f.Doc}
	if f.Default != "" {
		s.Default = f.Default
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		s.Type, s.Pattern = []string{"string", "integer"}, durationPattern
		s.Minimum, s.Maximum = new(float64), new(float64) // 0 needs no unit
		return s
	case reflect.TypeFor[Size]():
		s.Type, s.Pattern = []string{"string", "integer"}, sizePattern
		return s
	case reflect.TypeFor[Portion]():
		s.Type, s.Pattern = []string{"string", "integer"}, portionPattern
		return s
	case reflect.TypeFor[Mode]():
		s.Type, s.Pattern = []string{"string", "integer"}, modePattern
		return s
	}
	switch t.Kind() {
	case reflect.Struct:
		s.object(fieldsOf(t))
	case reflect.Slice:
		s.Type, s.Items = "array", schemaOf(t.Elem(), field{})
		if f.Required {
			s.MinItems = 1
		}
	case reflect.Map:
		s.Type, s.Additional = "object", schemaOf(t.Elem(), field{})
	default:
		s.scalar(t, f)
	}
	return s
}

func (s *schema) object(fields []field) {
	s.Type, s.Additional, s.Properties = "object", false, map[string]*schema{}
	for _, f := range fields {
		if f.isLater() {
			continue
		}
		s.Properties[f.Key] = schemaOf(f.Type, f)
		if f.Required {
			s.Required = append(s.Required, f.Key)
		}
	}
}

// scalar describes a plain value. Where it is no string, ${NAME} may stand for it.
func (s *schema) scalar(t reflect.Type, f field) {
	switch t.Kind() {
	case reflect.Bool:
		s.Type, s.Pattern = []string{"boolean", "string"}, envPattern
		s.Default = f.Default == "true"
	case reflect.Int, reflect.Float64:
		s.Type, s.Pattern = []string{"number", "string"}, envPattern
		if t.Kind() == reflect.Int {
			s.Type = []string{"integer", "string"}
		}
		s.Minimum, s.Maximum = number(f.Min), number(f.Max)
		if s.Minimum == nil {
			s.Minimum = new(float64)
		}
		if n := number(f.Default); n != nil {
			s.Default = *n
		}
	default:
		s.Type = "string"
		for _, word := range f.Enum {
			s.Enum = append(s.Enum, word)
			if word == "null" { // YAML's own null stands for the word
				s.Type, s.Enum = []string{"string", "null"}, append(s.Enum, nil)
			}
		}
	}
}

func number(text string) *float64 {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	return &x
}
