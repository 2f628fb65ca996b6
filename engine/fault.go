package engine

import (
	"fmt"
	"slices"
)

// A fault is what is wrong with a message, and where: its path is gathered on the way out of the scan, innermost first.
type fault struct {
	code FaultCode
	msg  string
	path []part
}

// A part of a path is a field's name and, where it is repeated, which one of its values.
type part struct {
	name  string
	index int // -1: not repeated
}

// broken is a fault of the field with this tag, of a message of shape s, after the fields in before.
func broken(before []byte, s shape, tag uint64, code FaultCode, msg string) *fault {
	return (&fault{code: code, msg: msg}).within(before, s, tag)
}

// within adds a field to the path: the one with this tag, of a message of shape s, after the fields in before.
func (f *fault) within(before []byte, s shape, tag uint64) *fault {
	p := part{index: -1}
	for _, known := range fields[s] {
		if known.number != tag>>3 {
			continue
		}
		p.name = known.name
		if known.repeated {
			p.index = count(before, tag)
		}
	}
	if p.name == "" {
		p.name = fmt.Sprintf("field(%d)", tag>>3)
	}
	f.path = append(f.path, p)
	return f
}

// count is how many of the valid fields have this tag.
func count(valid []byte, tag uint64) (n int) {
	for len(valid) > 0 {
		var found uint64
		if found, _, _, valid = nextField(valid); found == tag {
			n++
		}
	}
	return n
}

// pathHead and pathTail are how many parts of a long path are told.
const pathHead, pathTail = 6, 4

// report is the fault as its producer gets to read it.
func report(f *fault) *RecordError {
	if f == nil {
		return nil
	}
	slices.Reverse(f.path)
	var path []byte
	for i, p := range f.path {
		skip := i >= pathHead && i < len(f.path)-pathTail
		switch {
		case skip && i == pathHead:
			path = append(path, ".."...)
		case !skip:
			path = p.appendTo(path)
		}
	}
	return &RecordError{Code: f.code, Field: string(path), Msg: f.msg}
}

// appendTo adds the part to a path that may be empty.
func (p part) appendTo(path []byte) []byte {
	if len(path) > 0 {
		path = append(path, '.')
	}
	path = append(path, p.name...)
	if p.index >= 0 {
		path = fmt.Appendf(path, "[%d]", p.index)
	}
	return path
}
