// Package render turns records into bytes: NDJSON, text, and the names that templates make of them.
//
// The NDJSON form is one object a line, here broken in two:
//
//	{"time":"2026-01-02T03:04:05.000000006Z","severity":"INFO","body":"hello","tag":"shop.checkout","stream":"s1",
//	 "sequence":1,"attributes":{"k":1},"resource":{"host.name":"a"}}
//
// In it:
//
//   - time is the record's own, else when it was observed, else when its chunk was admitted; RFC 3339 in UTC, with as many
//     decimals as it needs.
//   - severity is the record's text, else OTLP's name of its number, else left out.
//   - A record without a body has null.
//   - attributes and resource are left out when empty. So are event_name, trace_id and span_id; the IDs are hex.
//   - dead_letter is there for a dead letter alone: {"output","reason","message","attempts","first","last"}.
//   - Integers are numbers, also beyond 2^53. Bytes are base64. NaN, Infinity and -Infinity are strings, as in protobuf's
//     JSON.
//   - A key that comes twice is written twice, in the order it came in: nearly all readers take the last. A template takes
//     the first. OTLP forbids it.
package render
