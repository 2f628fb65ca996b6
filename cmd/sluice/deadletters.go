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
	"github.com/sluicelog/sluice/server/admin"
)

type lettersCmd struct {
	List   listLettersCmd   `cmd:"" help:"List dead letters, in the order in which they were stored."`
	Show   showLettersCmd   `cmd:"" help:"Show dead letters in full."`
	Replay replayLettersCmd `cmd:"" help:"Give dead letters back to the outputs that refused them."`
	Drop   dropLettersCmd   `cmd:"" help:"Remove dead letters for good."`
}

// Help says what they are and where, and has examples.
func (lettersCmd) Help() string {
	return `Dead letters are records that an output refused for good. Where buffer.type is disk the gateway keeps them, each with its
reason, until they are replayed or dropped.

A gateway that runs is asked at its admin address: server.admin in its config, --admin or SLUICE_ADMIN here. Of one that is stopped
--dir looks in the directory of the buffer: buffer.disk.path in its config; as its user, so that it can read what this leaves there.

` + choiceHelp + `

Exit codes: 0 all was done, or there was nothing to do; 1 something failed, a dead letter cannot be read, or one that was named
by its ID is not there: the others were done all the same; 2 the command line is wrong.

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
	// each calls do with the chosen letters, the first limit of them or all where that is 0, as admin.EachLetter does. Its error tells
	// of IDs that no letter has, too.
	each(ctx context.Context, f engine.LetterFilter, limit uint64, do func(*engine.Letter) error) error
	// replay gives how many letters left the store, also with an error, which is as each's.
	replay(ctx context.Context, f engine.LetterFilter, told func(n int64)) (int64, error)
	// drop drops as admin.DropLetters does.
	drop(ctx context.Context, f engine.LetterFilter) (admin.Dropped, error)
	close() error
}

// letterAt says where dead letters are.
type letterAt struct {
	Admin string `default:"127.0.0.1:9317" env:"SLUICE_ADMIN" placeholder:"HOST:PORT" help:"Admin address of the gateway. Default: ${default}."`
	Dir   string `type:"path" placeholder:"DIR" help:"Look in this directory of a disk buffer (buffer.disk.path) and ask no gateway, which must be stopped."`
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
	Limit uint64 `placeholder:"N" help:"The first N alone, which were stored first. Default: all."`
	JSON  bool   `name:"json" help:"One JSON object a line: the record, and why it is here."`
}

// Help has examples.
func (listLettersCmd) Help() string {
	return `A line for each: its ID, which the other commands take; when it was tried last, in UTC; the output, its reason and the
target there; tag, stream and sequence of the record; and the output's words. Those that were stored first come first.

` + choiceHelp + `

With --json epoch is a string, as it has more digits than many readers of JSON keep.

Examples:
  sluice dead-letters list
  sluice dead-letters list --output aws --since 2h
  sluice dead-letters list --tag shop.checkout --limit 10
  sluice dead-letters list --json --reason too_old | jq -r .body`
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
			fmt.Fprintln(t.out, c.count(n))
		}
		return err
	})
}

// count says how many were listed. Whether there are more than the limit is not asked: with a filter that may read the whole store.
func (c listLettersCmd) count(n int) string {
	switch {
	case uint64(n) != c.Limit:
		return plural(n, "letter")
	case n == 1:
		return "the first letter"
	default:
		return "the first " + plural(n, "letter")
	}
}

type showLettersCmd struct {
	letterAt
	JSON bool     `name:"json" help:"One JSON object a line: the record, and why it is here."`
	IDs  []uint64 `arg:"" name:"id" help:"Which, as list has them."`
}

// Help has examples.
func (showLettersCmd) Help() string {
	return `All there is to know of each: why it is here, what stream it is of, and the record with its resource. Times are UTC.
An ID that is not there is told in the end, and the exit code is 1.

Examples:
  sluice dead-letters show 17
  sluice dead-letters show 17 18 --json`
}

// Run shows.
func (c showLettersCmd) Run(ctx context.Context, t terminal) error {
	return c.with(t, func(place letterPlace) error {
		show := newLetterSheets(t.out)
		if c.JSON {
			show = newLetterLines(t.out)
		}
		err := place.each(ctx, engine.LetterFilter{IDs: c.IDs}, 0, show.add)
		return errors.Join(err, show.end())
	})
}

type replayLettersCmd struct {
	letterAt
	letterChoice
}

// Help says what comes of it.
func (replayLettersCmd) Help() string {
	return `Each goes through the buffer like any record, in the order in which they were stored, and to no other output than the one that
refused it. It is gone from here once it is safe there; with --dir the gateway delivers it when it is started. What is refused again
becomes a dead letter again, with a new ID. So mend the cause first. Without a filter and without IDs all of them are replayed.

` + choiceHelp + `

A replay waits while the buffer has no room, and says every second how far it came. SIGINT or SIGTERM ends it: what was not
replayed until then stays. One replay or drop runs at a time.

Examples:
  sluice dead-letters replay --reason http_400
  sluice dead-letters replay --output aws --tag shop.checkout --since 2h
  sluice dead-letters replay 17 18`
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
		} else if n > 0 {
			fmt.Fprintln(t.out, plural(int(n), "letter")+" replayed")
		}
		return err
	})
}

// progressEvery is how often a replay says how far it came. A gateway tells it every second, so this is a little less.
const progressEvery = 900 * time.Millisecond
