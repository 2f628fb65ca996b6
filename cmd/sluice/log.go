package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// logging are the flags of a command that logs.
type logging struct {
	LogLevel  string `enum:"debug,info,warn,error" default:"info" help:"Least level that is logged: ${enum}."`
	LogFormat string `enum:"auto,text,json" default:"auto" help:"Form of the log: ${enum}. auto: text on a terminal, JSON otherwise."`
}

// logger logs to w, for people where w is a terminal and for programs otherwise.
func (l logging) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.LogLevel)); err != nil {
		level = slog.LevelInfo // it is one of enum
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: spellOut}
	if l.LogFormat == "text" || l.LogFormat == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// spellOut gives durations their units in JSON, too: 363ms instead of 363000000.
func spellOut(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
