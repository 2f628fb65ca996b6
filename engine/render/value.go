package render

import (
	"encoding/base64"
	"math"
	"strconv"

	"github.com/sluicelog/sluice/engine"
)

// appendValue appends a value as JSON. It recurses as deep as the scan let the value nest, which is engine.MaxDepth.
func appendValue(dst []byte, v engine.Value) []byte {
	switch v.Kind() {
	case engine.ValueString:
		return AppendString(dst, v.Bytes())
	case engine.ValueBool:
		return strconv.AppendBool(dst, v.Bool())
	case engine.ValueInt:
		return strconv.AppendInt(dst, v.Int(), 10)
	case engine.ValueDouble:
		return appendDouble(dst, v.Double())
	case engine.ValueBytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
		return append(dst, '"')
	case engine.ValueArray:
		dst = append(dst, '[')
		from := len(dst)
		for e := range v.Array() {
			if len(dst) > from {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, e)
		}
		return append(dst, ']')
	case engine.ValueKVList:
		dst = append(dst, '{')
		from := len(dst)
		for k, e := range v.KVList() {
			dst = appendMember(dst, from, k, e)
		}
		return append(dst, '}')
	case engine.ValueNone:
	}
	return append(dst, "null"...)
}

// appendMember appends a member of the object whose members begin at from.
func appendMember(dst []byte, from int, key []byte, v engine.Value) []byte {
	if len(dst) > from {
		dst = append(dst, ',')
	}
	dst = AppendString(dst, key)
	dst = append(dst, ':')
	return appendValue(dst, v)
}

// appendDouble appends a number as encoding/json does, and what JSON has no numbers for as a string.
func appendDouble(dst []byte, d float64) []byte {
	switch {
	case math.IsNaN(d):
		return append(dst, `"NaN"`...)
	case math.IsInf(d, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(d, -1):
		return append(dst, `"-Infinity"`...)
	}
	form := byte('f')
	if abs := math.Abs(d); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(dst, d, form, -1, 64)
}

// appendText appends a value as text: a string as it is, nothing as nothing, all else as JSON.
func appendText(dst []byte, v engine.Value) []byte {
	switch v.Kind() {
	case engine.ValueString:
		return append(dst, v.Bytes()...)
	case engine.ValueNone:
		return dst
	default:
		return appendValue(dst, v)
	}
}
