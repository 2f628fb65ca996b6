package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// A decoder reads a YAML tree into structs by their fields' tags. It goes on after a fault, so that one run finds all of
// them, and remembers where each path was read, for the checks that come after it.
type decoder struct {
	lookup  func(string) (string, bool) // the environment
	anchors map[string]ast.Node
	keys    map[string]*token.Position // of each key that was read, by path
	values  map[string]*token.Position // of its value
	faults  []Fault
	broken  map[string]bool // the paths that have a fault
}

func newDecoder(lookup func(string) (string, bool)) *decoder {
	return &decoder{
		lookup:  lookup,
		anchors: map[string]ast.Node{},
		keys:    map[string]*token.Position{},
		values:  map[string]*token.Position{},
		broken:  map[string]bool{},
	}
}

// fault notes what is wrong with the path, at a position of its own.
func (d *decoder) fault(at *token.Position, path, msg string) {
	d.faults = append(d.faults, Fault{Line: at.Line, Col: at.Column, Path: path, Msg: msg})
	d.broken[path] = true
}

// node reads a node of any kind into v.
func (d *decoder) node(n ast.Node, v reflect.Value, f field, path string) {
	n, ok := d.resolve(n, path)
	if !ok {
		return
	}
	d.values[path] = position(n)
	switch {
	case f.isLater():
		d.fault(d.keys[path], path, "is not available in this version")
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if isSection(v.Type().Elem()) {
			setDefaults(v.Elem())
		}
		d.node(n, v.Elem(), f, path)
	case isSection(v.Type()):
		d.section(n, v, path)
	case v.Kind() == reflect.Slice:
		d.list(n, v, f, path)
	case v.Kind() == reflect.Map:
		d.table(n, v, f, path)
	default:
		d.scalar(n, v, f, path)
	}
}

// resolve follows anchors and aliases to the node that they stand for.
func (d *decoder) resolve(n ast.Node, path string) (ast.Node, bool) {
	for range maxAliases {
		switch t := n.(type) {
		case *ast.AnchorNode:
			d.anchors[t.Name.GetToken().Value] = t.Value
			n = t.Value
		case *ast.AliasNode:
			name := t.Value.GetToken().Value
			target, known := d.anchors[name]
			if !known {
				d.fault(position(t), path, fmt.Sprintf("there is no anchor &%s above", name))
				return nil, false
			}
			n = target
		case *ast.TagNode:
			d.fault(position(t), path, "YAML tags such as "+t.GetToken().Value+" are not read here; leave it out")
			return nil, false
		default:
			return n, true
		}
	}
	d.fault(position(n), path, "the alias stands for itself")
	return nil, false
}

// maxAliases is how many aliases may stand for one another.
const maxAliases = 10

// section reads a map whose keys are the fields of a struct. Nothing at all, as in `stdout:`, is an empty map.
func (d *decoder) section(n ast.Node, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	if _, empty := n.(*ast.NullNode); !empty {
		m, ok := n.(*ast.MappingNode)
		if !ok {
			d.mismatch(n, v.Type(), path)
			return
		}
		for _, kv := range d.entries(m, path) {
			f, known := fieldOf(fields, kv.key)
			if !known {
				d.fault(kv.at, kv.path, "unknown key; "+suggest(kv.key, keys(fields)))
				continue
			}
			d.node(kv.value, v.FieldByIndex(f.Index), f, kv.path)
		}
	}
	for _, f := range fields {
		p := join(path, f.Key)
		if f.Required && d.keys[p] == nil {
			d.fault(position(n), p, "is missing")
		} else if f.Required && isEmpty(v.FieldByIndex(f.Index)) && !d.broken[p] {
			d.fault(d.values[p], p, "must not be empty")
		}
	}
}

func isEmpty(v reflect.Value) bool {
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

// table reads a map of free keys and strings.
func (d *decoder) table(n ast.Node, v reflect.Value, f field, path string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.mismatch(n, v.Type(), path)
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, kv := range d.entries(m, path) {
		value := reflect.New(v.Type().Elem()).Elem()
		d.node(kv.value, value, field{Key: kv.key, Secret: f.Secret}, kv.path)
		v.SetMapIndex(reflect.ValueOf(kv.key), value)
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, f field, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.mismatch(n, v.Type(), path)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, element := range s.Values {
		into := v.Index(i)
		if isSection(into.Type()) {
			setDefaults(into)
		}
		d.node(element, into, field{Key: f.Key, Secret: f.Secret}, path+"["+strconv.Itoa(i)+"]")
	}
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, f field, path string) {
	s, ok := readScalar(n)
	if isNamedNull(n, f) {
		s, ok = scalar{text: "null", source: "null", isString: true}, true
	}
	if !ok {
		d.mismatch(n, v.Type(), path)
		return
	}
	text, err := expand(s.text, d.lookup)
	if err != nil {
		d.fault(position(n), path, err.Error())
		return
	}
	// What the environment gave has no YAML type, so it is read as whatever the field is.
	if !s.fits(v.Type()) && text == s.text {
		d.mismatch(n, v.Type(), path)
		return
	}
	if err := parseInto(v, f, text); err != nil {
		d.fault(position(n), path, show(s.source, f.Secret)+err.Error())
	}
}

// mismatch says that a node is of another kind than its field.
func (d *decoder) mismatch(n ast.Node, want reflect.Type, path string) {
	d.fault(position(n), path, "want "+wants(want)+", got "+kindOf(n))
}

// An entry is a key and its value in a map.
type entry struct {
	key   string
	path  string
	at    *token.Position // of the key
	value ast.Node
}

// entries gives the entries of a map and notes where they are. Of a key that comes twice it gives the first.
func (d *decoder) entries(m *ast.MappingNode, path string) []entry {
	var es []entry
	for _, mv := range m.Values {
		t := mv.Key.GetToken()
		e := entry{key: t.Value, path: join(path, t.Value), at: t.Position, value: mv.Value}
		if mv.Key.IsMergeKey() {
			d.fault(e.at, path, "merge keys (<<) are not read here; write the keys out")
			continue
		}
		if first := d.keys[e.path]; first != nil {
			d.fault(e.at, e.path, fmt.Sprintf("the same key stands in line %d already", first.Line))
			continue
		}
		d.keys[e.path] = e.at
		es = append(es, e)
	}
	return es
}

// join is the path of a key under a path. A key that has dots of its own is quoted.
func join(path, key string) string {
	if strings.ContainsAny(key, ".[] ") {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// A scalar is a value as the file has it.
type scalar struct {
	text     string
	source   string // what a fault may show
	isString bool   // to YAML
	isBool   bool
}

func readScalar(n ast.Node) (s scalar, ok bool) {
	switch t := n.(type) {
	case *ast.StringNode:
		return scalar{text: t.Value, source: t.Value, isString: true}, true
	case *ast.LiteralNode:
		return scalar{text: t.Value.Value, source: t.Value.Value, isString: true}, true
	case *ast.BoolNode:
		return scalar{text: strconv.FormatBool(t.Value), source: t.GetToken().Value, isBool: true}, true
	case *ast.IntegerNode, *ast.FloatNode:
		return scalar{text: t.GetToken().Value, source: t.GetToken().Value}, true
	}
	return scalar{}, false
}

// fits reports whether YAML's type of the scalar is the field's. Sizes may be plain numbers, and so may the duration 0.
func (s scalar) fits(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[Size](), reflect.TypeFor[Portion](), reflect.TypeFor[time.Duration](), reflect.TypeFor[Mode]():
		return !s.isBool
	}
	switch t.Kind() {
	case reflect.String:
		return s.isString
	case reflect.Bool:
		return s.isBool
	default:
		return !s.isString && !s.isBool
	}
}

// isNamedNull reports whether a bare null stands where null is one of the words: YAML takes the type of the output that
// discards everything for a value of its own.
func isNamedNull(n ast.Node, f field) bool {
	_, isNull := n.(*ast.NullNode)
	return isNull && strings.Contains(n.GetToken().Origin, "null") && slices.Contains(f.Enum, "null")
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "true or false (quotes make it a string)"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number (quotes make it a string)"
	case *ast.StringNode, *ast.LiteralNode:
		return "a string"
	default:
		return "something else"
	}
}

// position is where a node begins. A block map's own token is its first colon.
func position(n ast.Node) *token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken().Position
	}
	return n.GetToken().Position
}

// show quotes a value in front of what is wrong with it, unless it is a secret. It is given the source, in which ${NAME}
// stands for what the environment holds.
func show(source string, secret bool) string {
	if secret {
		return ""
	}
	if r := []rune(source); len(r) > 40 {
		source = string(r[:40]) + "..."
	}
	return strconv.Quote(source) + ": "
}
