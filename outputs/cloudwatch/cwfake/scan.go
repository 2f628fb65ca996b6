package cwfake

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A put is the body of a PutLogEvents. Its bytes are those of the request, or in scratch, and live as long as it does.
type put struct {
	group, stream string
	events        []event
	scratch       []byte // unescaped messages
}

// An event is one of a put.
type event struct {
	at           int64 // milliseconds of Unix time
	message      []byte
	timed, named bool // whether it has a timestamp and a message at all
}

func (p *put) reset() {
	clear(p.events)
	p.group, p.stream, p.events, p.scratch = "", "", p.events[:0], p.scratch[:0]
}

// parse reads the JSON of a put. What the SDKs and sluice write is read by hand, at about a tenth of the cost; anything
// else that is valid, such as members of other names, goes to encoding/json.
func (p *put) parse(text []byte) error {
	if !utf8.Valid(text) {
		return invalid(codeSerialization, "The body is not UTF-8.")
	}
	s := scanner{text: text, scratch: p.scratch}
	if s.put(p) {
		p.scratch = s.scratch
		return nil
	}
	p.reset()
	return p.parseAny(text)
}

// parseAny reads a put of any shape.
func (p *put) parseAny(text []byte) error {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &members); err != nil {
		return invalid(codeSerialization, "The body is not a JSON object.")
	}
	var err error
	if p.group, err = memberString(members, "logGroupName"); err != nil {
		return err
	}
	if p.stream, err = memberString(members, "logStreamName"); err != nil {
		return err
	}
	var events []map[string]json.RawMessage
	if raw, ok := members["logEvents"]; ok {
		if err := json.Unmarshal(raw, &events); err != nil {
			return invalid(codeSerialization, "logEvents is not a list of objects.")
		}
	}
	for _, members := range events {
		e, err := parseEvent(members)
		if err != nil {
			return err
		}
		p.events = append(p.events, e)
	}
	return nil
}

// parseEvent reads one event of any shape.
func parseEvent(members map[string]json.RawMessage) (event, error) {
	var e event
	if raw, ok := members["message"]; ok && string(raw) != "null" {
		message, err := memberString(members, "message")
		if err != nil {
			return e, err
		}
		e.message, e.named = []byte(message), true
	}
	if raw, ok := members["timestamp"]; ok && string(raw) != "null" {
		at, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return e, invalid(codeSerialization, "A timestamp is not a whole number.")
		}
		e.at, e.timed = at, true
	}
	return e, nil
}

// memberString reads a member that is a string; absent and null are empty. Half a surrogate pair is an error, where
// encoding/json would put a replacement character in its place.
func memberString(members map[string]json.RawMessage, name string) (string, error) {
	raw, ok := members[name]
	if !ok || string(raw) == "null" {
		return "", nil
	}
	s := scanner{text: raw}
	if b, ok := s.string(); ok {
		return string(b), nil
	}
	return "", invalid(codeSerialization, name+" is not a string of Unicode text.")
}

// A scanner reads the JSON of puts, and knows no more than it needs for that. All its methods say false at the first
// thing that they do not know.
type scanner struct {
	text    []byte
	at      int
	scratch []byte
}

// put reads a whole body.
func (s *scanner) put(p *put) bool {
	if !s.byte('{') {
		return false
	}
	for {
		name, ok := s.string()
		if !ok || !s.byte(':') || !s.member(p, name) {
			return false
		}
		if s.byte('}') {
			s.space()
			return s.at == len(s.text)
		}
		if !s.byte(',') {
			return false
		}
	}
}

// member reads the value of one of a body's members.
func (s *scanner) member(p *put, name []byte) bool {
	switch string(name) {
	case "logEvents":
		p.events = p.events[:0]
		return s.events(p)
	case "logGroupName", "logStreamName", "sequenceToken":
	default:
		return false
	}
	value, ok := s.string()
	switch string(name) {
	case "logGroupName":
		p.group = string(value)
	case "logStreamName":
		p.stream = string(value)
	}
	return ok
}

// events reads the list.
func (s *scanner) events(p *put) bool {
	if !s.byte('[') {
		return false
	}
	if s.byte(']') {
		return true
	}
	for {
		e, ok := s.event()
		if !ok {
			return false
		}
		p.events = append(p.events, e)
		if s.byte(']') {
			return true
		}
		if !s.byte(',') {
			return false
		}
	}
}

// event reads one.
func (s *scanner) event() (e event, ok bool) {
	if !s.byte('{') {
		return e, false
	}
	for {
		name, ok := s.string()
		if !ok || !s.byte(':') {
			return e, false
		}
		switch string(name) {
		case "message":
			e.message, ok = s.string()
			e.named = ok
		case "timestamp":
			e.at, ok = s.number()
			e.timed = ok
		default:
			ok = false
		}
		if !ok {
			return e, false
		}
		if s.byte('}') {
			return e, true
		}
		if !s.byte(',') {
			return e, false
		}
	}
}

// space skips white space.
func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// byte takes one byte, after white space, if it is there.
func (s *scanner) byte(b byte) bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == b {
		s.at++
		return true
	}
	return false
}

// number takes a whole number. Leading zeros, fractions and exponents are for encoding/json to judge.
func (s *scanner) number() (int64, bool) {
	s.space()
	begin, n := s.at, int64(0)
	for s.at < len(s.text) && s.text[s.at]-'0' <= 9 {
		n = n*10 + int64(s.text[s.at]-'0')
		s.at++
	}
	digits := s.at - begin
	if digits == 0 || digits > 18 || digits > 1 && s.text[begin] == '0' || s.at == len(s.text) {
		return 0, false
	}
	switch s.text[s.at] {
	case '.', 'e', 'E':
		return 0, false
	}
	return n, true
}

// string takes a string. Where nothing in it is escaped the result is the text itself.
func (s *scanner) string() ([]byte, bool) {
	if !s.byte('"') {
		return nil, false
	}
	n := special(s.text[s.at:])
	if n < 0 {
		return nil, false
	}
	if s.text[s.at+n] == '"' {
		b := s.text[s.at : s.at+n]
		s.at += n + 1
		return b, true
	}
	begin := len(s.scratch)
	for {
		n := special(s.text[s.at:])
		if n < 0 {
			return nil, false
		}
		s.scratch = append(s.scratch, s.text[s.at:s.at+n]...)
		s.at += n + 1
		switch s.text[s.at-1] {
		case '"':
			return s.scratch[begin:len(s.scratch):len(s.scratch)], true
		case '\\':
			if !s.escape() {
				return nil, false
			}
		default:
			return nil, false // a control character
		}
	}
}

// escape takes what follows a backslash.
func (s *scanner) escape() bool {
	if s.at == len(s.text) {
		return false
	}
	c := s.text[s.at]
	s.at++
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode()
	default:
		return false
	}
	s.scratch = append(s.scratch, c)
	return true
}

// unicode takes the digits of \uXXXX, and a second one where the first is half of a pair.
func (s *scanner) unicode() bool {
	r, ok := s.hex()
	if !ok {
		return false
	}
	if utf16.IsSurrogate(r) {
		if s.at+2 > len(s.text) || string(s.text[s.at:s.at+2]) != `\u` {
			return false
		}
		s.at += 2
		low, ok := s.hex()
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return false
		}
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return true
}

// hex takes four hexadecimal digits.
func (s *scanner) hex() (rune, bool) {
	if s.at+4 > len(s.text) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s.text[s.at:s.at+4]), 16, 16)
	s.at += 4
	return rune(n), err == nil
}

// special is the index of the first quote, backslash or control character, or -1. It looks at eight bytes at a time:
// in each word below, a byte's high bit is set where it is one of those, exactly so for the first that is.
func special(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		found := (x-ones*0x20)&^x | (quote-ones)&^quote | (slash-ones)&^slash
		if found &= highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < 0x20 {
			return i
		}
	}
	return -1
}
