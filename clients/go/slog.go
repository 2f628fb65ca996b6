package sluice

import (
	"context"
	"log/slog"
	"runtime"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// HandlerOptions describe a [Handler]. The zero value is good.
type HandlerOptions struct {
	// Level is the least that is logged; nil: slog.LevelInfo.
	Level slog.Leveler
	// AddSource adds where the record was logged, as code.function.name, code.file.path and code.line.number.
	AddSource bool
	// Trace gives the trace that ctx belongs to: a trace ID of 16 bytes, a span ID of 8 and W3C trace flags; empty IDs if
	// it belongs to none.
	Trace func(ctx context.Context) (traceID, spanID []byte, flags byte)
}

// A Handler is a [slog.Handler] that adds to a stream. The message becomes the body, groups become nested key-value lists,
// and levels become OTLP's severity numbers: DEBUG 5, INFO 9, WARN 13, ERROR 17, and what is between them likewise.
//
// A handler waits while the stream's queue is full and its policy is [Block]. An application that would rather lose records
// than wait chooses another policy.
type Handler struct {
	stream *Stream
	opts   HandlerOptions
	groups []group // the first has no name; the others are nested one in the other
}

// A group is a name and the attributes given so far, encoded.
type group struct {
	name  string
	attrs []byte
}

var _ slog.Handler = (*Handler)(nil)

// NewHandler makes a handler that adds to s. The options may be nil. The stream stays the caller's to close.
func NewHandler(s *Stream, opts *HandlerOptions) *Handler {
	h := &Handler{stream: s, groups: []group{{}}}
	if opts != nil {
		h.opts = *opts
	}
	return h
}

// Enabled implements [slog.Handler].
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	least := slog.LevelInfo
	if h.opts.Level != nil {
		least = h.opts.Level.Level()
	}
	return level >= least
}

// WithAttrs implements [slog.Handler]. The attributes are encoded here, once.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.groups = slices.Clone(h.groups)
	last := len(derived.groups) - 1
	g := &derived.groups[last]
	g.attrs = appendAttrs(slices.Clip(g.attrs), attributeField(last), attrs)
	return &derived
}

// WithGroup implements [slog.Handler].
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	derived := *h
	derived.groups = append(slices.Clip(h.groups), group{name: name})
	return &derived
}

// Handle implements [slog.Handler]. Its errors are those of [Stream.Add].
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	return h.stream.encode(ctx, func(b []byte) ([]byte, error) {
		b = appendTime(b, r.Time)
		b = appendVarint(b, recordSeverity, uint64(severity(r.Level)))
		b = appendString(b, recordSeverityText, r.Level.String())
		b = appendAnyString(b, recordBody, r.Message)
		b = h.appendTrace(ctx, b)
		if h.opts.AddSource {
			b = appendSource(b, r.PC)
		}
		return h.appendGroups(b, 0, r), nil
	})
}

// appendGroups appends the attributes of group i, and in it those of the groups nested there; the record's own are in the
// innermost.
func (h *Handler) appendGroups(b []byte, i int, r slog.Record) []byte {
	b = append(b, h.groups[i].attrs...)
	if i == len(h.groups)-1 {
		r.Attrs(func(a slog.Attr) bool {
			b = appendAttr(b, attributeField(i), a)
			return true
		})
		return b
	}
	return appendGroup(b, attributeField(i), h.groups[i+1].name, func(b []byte) []byte {
		return h.appendGroups(b, i+1, r)
	})
}

// attributeField is where attributes go: into the record, or into the list of a group.
func attributeField(depth int) protowire.Number {
	if depth == 0 {
		return recordAttributes
	}
	return keyValueListKeyValue
}

func (h *Handler) appendTrace(ctx context.Context, b []byte) []byte {
	if h.opts.Trace == nil {
		return b
	}
	traceID, spanID, flags := h.opts.Trace(ctx)
	if len(traceID) == 0 {
		return b
	}
	b = protowire.AppendFixed32(protowire.AppendTag(b, recordFlags, protowire.Fixed32Type), uint32(flags))
	b = protowire.AppendBytes(protowire.AppendTag(b, recordTraceID, protowire.BytesType), traceID)
	return protowire.AppendBytes(protowire.AppendTag(b, recordSpanID, protowire.BytesType), spanID)
}

func appendSource(b []byte, pc uintptr) []byte {
	if pc == 0 {
		return b
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return appendAttrs(b, recordAttributes, []slog.Attr{
		slog.String("code.function.name", frame.Function),
		slog.String("code.file.path", frame.File),
		slog.Int("code.line.number", frame.Line),
	})
}

// severity maps slog's levels, which are 4 apart as OTLP's severities are, onto OTLP's.
func severity(l slog.Level) sluicev1.SeverityNumber {
	const info = int(sluicev1.SeverityNumber_SEVERITY_NUMBER_INFO)
	return sluicev1.SeverityNumber(min(max(int(l)+info, 1), 24))
}
