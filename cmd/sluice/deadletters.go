package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluicelog/sluice/engine"
)

type lettersCmd struct {
	List   listLettersCmd   `cmd:"" help:"List dead letters, in the order in which they were stored."`
	Show   showLettersCmd   `cmd:"" help:"Show dead letters in full."`
	Replay replayLettersCmd `cmd:"" help:"Give dead letters back to the outputs that refused them."`
	Drop   dropLettersCmd   `cmd:"" help:"Remove dead letters for good."`
}

// Help has examples.
func (lettersCmd) Help() string {
	return `Dead letters are records that an output refused for good, kept with the reason, where buffer.type is disk. They are asked for at
the admin address of the gateway, or looked for in the directory of its buffer (--dir) while it does not run; as its user,
so that it can read what this leaves there.

Examples:
  sluice dead-letters list --output aws --since 24h
  sluice dead-letters show 17
  sluice dead-letters list --json | jq -r .body
  sluice dead-letters replay --reason parked
  sluice dead-letters drop --until 2026-01-02T00:00:00Z
  sluice dead-letters list --dir /var/lib/sluice`
}

// A letterPlace is where dead letters are: at a gateway or in a directory.
type letterPlace interface {
	// each calls do with the chosen letters, the first limit of them or all where that is 0, as admin.EachLetter does.
	each(ctx context.Context, f engine.LetterFilter, limit uint64, do func(*engine.Letter) error) error
	// replay and drop give how many letters left the store, also with an error.
	replay(ctx context.Context, f engine.LetterFilter, told func(n int64)) (int64, error)
	drop(ctx context.Context, f engine.LetterFilter) (int64, error)
	close() error
}

// letterAt says where dead letters are.
type letterAt struct {
	Admin string `default:"127.0.0.1:9317" env:"SLUICE_ADMIN" placeholder:"HOST:PORT" help:"Admin address of the gateway. Default: ${default}."`
	Dir   string `type:"path" placeholder:"DIR" help:"Look in this directory of a disk buffer (buffer.disk.path) and ask no gateway."`
}

// with does something where the dead letters are.
func (a letterAt) with(t terminal, do func(letterPlace) error) error {
	place, err := a.open(t)
	if err != nil {
		return err
	}
	err = do(place)
	return errors.Join(err, place.close())
}

func (a letterAt) open(t terminal) (letterPlace, error) {
	if a.Dir == "" {
		return openGateway(a.Admin)
	}
	return openDir(a.Dir, logging{LogLevel: "warn", LogFormat: "text"}.logger(t.err))
}

type listLettersCmd struct {
	letterAt
	letterChoice
	Limit uint64 `placeholder:"N" help:"The first N alone."`
	JSON  bool   `name:"json" help:"One JSON object a line: the record, and why it is here."`
}

// Run lists.
func (c listLettersCmd) Run(ctx context.Context, t terminal) error {
	return c.with(t, func(place letterPlace) error {
		list := newLetterTable(t.out)
		if c.JSON {
			list = newLetterLines(t.out)
		}
		n := 0
		err := place.each(ctx, c.filter(), c.Limit, func(l *engine.Letter) error {
			n++
			return list.add(l)
		})
		err = errors.Join(err, list.end())
		switch {
		case n == 0 && err == nil:
			c.sayNone(t, c.JSON)
		case !c.JSON && n > 0:
			fmt.Fprintln(t.out, plural(n, "letter"))
		}
		return err
	})
}

type showLettersCmd struct {
	letterAt
	JSON bool     `name:"json" help:"One JSON object a line: the record, and why it is here."`
	IDs  []uint64 `arg:"" name:"id" help:"Which, as list names them."`
}

// Run shows.
func (c showLettersCmd) Run(ctx context.Context, t terminal) error {
	return c.with(t, func(place letterPlace) error {
		show := newLetterSheets(t.out)
		if c.JSON {
			show = newLetterLines(t.out)
		}
		n := 0
		err := place.each(ctx, engine.LetterFilter{IDs: c.IDs}, 0, func(l *engine.Letter) error {
			n++
			return show.add(l)
		})
		err = errors.Join(err, show.end())
		if n == 0 && err == nil {
			letterChoice{IDs: c.IDs}.sayNone(t, c.JSON)
		}
		return err
	})
}

type replayLettersCmd struct {
	letterAt
	letterChoice
}

// Help says what comes of it.
func (replayLettersCmd) Help() string {
	return `They go through the buffer like any record, in the order in which they were stored, and to no other output. Each is gone from
here once it is safe there. What is refused again becomes a dead letter again. Without a filter all of them are replayed.

SIGINT or SIGTERM ends it: what was not replayed until then stays.`
}

// Run replays.
func (c replayLettersCmd) Run(ctx context.Context, t terminal) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.with(t, func(place letterPlace) error {
		last := time.Now()
		n, err := place.replay(ctx, c.filter(), func(n int64) {
			if time.Since(last) >= progressEvery {
				fmt.Fprintf(t.err, "%s replayed so far\n", plural(int(n), "letter"))
				last = time.Now()
			}
		})
		if ctx.Err() != nil && err != nil {
			err = errors.New("interrupted: a few more may have been replayed meanwhile, the rest stays")
		}
		if n == 0 && err == nil {
			c.sayNone(t, false)
		} else {
			fmt.Fprintln(t.out, plural(int(n), "letter")+" replayed")
		}
		return err
	})
}

// progressEvery is how often a replay says how far it came. A gateway tells it every second, so this is a little less.
const progressEvery = 900 * time.Millisecond

type dropLettersCmd struct {
	letterAt
	letterChoice
	All bool `help:"Every dead letter there is."`
}

// Run drops.
func (c dropLettersCmd) Run(ctx context.Context, t terminal) error {
	switch {
	case c.all() && !c.All:
		return &exitError{exitUsage, errors.New("which? --all drops every dead letter; a filter or IDs choose some")}
	case !c.all() && c.All:
		return &exitError{exitUsage, errors.New("--all goes with no filter and no IDs")}
	}
	return c.with(t, func(place letterPlace) error {
		n, err := place.drop(ctx, c.filter())
		if n == 0 && err == nil {
			c.sayNone(t, false)
		} else if n > 0 {
			fmt.Fprintln(t.out, plural(int(n), "letter")+" dropped")
		}
		return err
	})
}
