package render

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluicelog/sluice/engine"
)

// Missing is what a template writes for a value that is not there, or is empty, unless told otherwise.
const Missing = "unknown"

// A Template is literal text with fields in it: {tag}, {tenant}, {stream}, {resource.KEY} and {attr.KEY}, where KEY is all up
// to the closing brace and may contain dots. {{ and }} stand for braces. It is safe for concurrent use once it is set up.
type Template struct {
	// Missing stands for what is not there, or is empty.
	Missing string
	// Clean, if any, makes dst[from:] safe for where the template is used: what a field came to, Missing included, never
	// literal text.
	Clean func(dst []byte, from int) []byte

	parts  []part
	record bool // some part differs from record to record
}

// A part is literal text or a field.
type part struct {
	what field
	text string // the literal, or the key
}

type field uint8

const (
	fieldLiteral field = iota
	fieldTag
	fieldTenant
	fieldStream
	fieldResource
	fieldAttr
	// Those of lines alone:
	fieldBody
	fieldTime
	fieldSeverity
	fieldSequence
)

// keyField is the field of that name in a key; fieldLiteral where there is none.
func keyField(name string) field {
	switch name {
	case "tag":
		return fieldTag
	case "tenant":
		return fieldTenant
	case "stream":
		return fieldStream
	}
	return fieldLiteral
}

// lineField is keyField for a line.
func lineField(name string) field {
	switch name {
	case "body":
		return fieldBody
	case "time":
		return fieldTime
	case "severity":
		return fieldSeverity
	case "sequence":
		return fieldSequence
	}
	return keyField(name)
}

// ParseTemplate reads a template of a key or a name. An error names the position, in characters from 1.
func ParseTemplate(s string) (*Template, error) {
	return parse(s, keyField, "{tag}, {tenant}, {stream}, {resource.KEY} or {attr.KEY}")
}

// ParseLine reads a template of a line, which may have {body}, {time}, {severity} and {sequence} besides. What is missing is
// left out.
func ParseLine(s string) (*Template, error) {
	t, err := parse(s, lineField,
		"{body}, {time}, {severity}, {sequence}, {tag}, {tenant}, {stream}, {resource.KEY} or {attr.KEY}")
	if err == nil {
		t.Missing = ""
	}
	return t, err
}

func parse(s string, named func(string) field, known string) (*Template, error) {
	t := &Template{Missing: Missing}
	var literal []byte
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c != '{' && c != '}':
			literal = append(literal, c)
			i++
		case i+1 < len(s) && s[i+1] == c:
			literal = append(literal, c)
			i += 2
		case c == '}':
			return nil, faultAt(s, i, "a } without a {; write }} for a brace")
		default:
			n := strings.IndexByte(s[i:], '}')
			if n < 0 {
				return nil, faultAt(s, i, "a { without a }; write {{ for a brace")
			}
			p, ok := parseField(s[i+1:i+n], named)
			if !ok {
				return nil, faultAt(s, i, fmt.Sprintf("%q is not one of %s", s[i:i+n+1], known))
			}
			t.addLiteral(literal)
			literal = literal[:0]
			t.parts = append(t.parts, p)
			t.record = t.record || p.what >= fieldAttr
			i += n + 1
		}
	}
	t.addLiteral(literal)
	return t, nil
}

func (t *Template) addLiteral(text []byte) {
	if len(text) > 0 {
		t.parts = append(t.parts, part{what: fieldLiteral, text: string(text)})
	}
}

func parseField(name string, named func(string) field) (part, bool) {
	if key, ok := strings.CutPrefix(name, "resource."); ok {
		return part{what: fieldResource, text: key}, key != ""
	}
	if key, ok := strings.CutPrefix(name, "attr."); ok {
		return part{what: fieldAttr, text: key}, key != ""
	}
	what := named(name)
	return part{what: what}, what != fieldLiteral
}

func faultAt(s string, i int, msg string) error {
	return fmt.Errorf("template %q, position %d: %s", s, utf8.RuneCountInString(s[:i])+1, msg)
}

// PerRecord reports whether two records of one chunk may come out differently.
func (t *Template) PerRecord() bool { return t.record }

// Append appends what the template makes of a chunk and, where it is PerRecord, of one of its records.
func (t *Template) Append(dst []byte, c *engine.Chunk, r engine.Record) []byte {
	return t.append(dst, &engine.BatchRecord{Record: r, Chunk: c})
}

func (t *Template) append(dst []byte, r *engine.BatchRecord) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		if p.what == fieldLiteral {
			dst = append(dst, p.text...)
			continue
		}
		from := len(dst)
		if dst = appendField(dst, p, r); len(dst) == from {
			dst = append(dst, t.Missing...)
		}
		if t.Clean != nil {
			dst = t.Clean(dst, from)
		}
	}
	return dst
}

// appendField appends what a field comes to, or nothing.
func appendField(dst []byte, p *part, r *engine.BatchRecord) []byte {
	switch p.what {
	case fieldTag:
		return append(dst, r.Chunk.Stream.Tag...)
	case fieldTenant:
		return append(dst, r.Chunk.Stream.Tenant...)
	case fieldStream:
		return append(dst, r.Chunk.Stream.ID...)
	case fieldResource:
		for k, v := range engine.ResourceAttributes(r.Chunk.Resource) {
			if string(k) == p.text {
				return appendText(dst, v)
			}
		}
		return dst
	case fieldAttr:
		v, _ := r.Attribute(p.text)
		return appendText(dst, v)
	case fieldBody:
		return appendText(dst, r.Body())
	case fieldSequence:
		return strconv.AppendUint(dst, r.Sequence, 10)
	case fieldTime:
		f := r.Fields()
		return appendTime(dst, &f, r.Chunk)
	case fieldSeverity:
		f := r.Fields()
		return appendSeverity(dst, &f)
	default: // a literal is no field
		return dst
	}
}
