package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluicelog/sluice/server/admin"
)

type dropLettersCmd struct {
	letterAt
	letterChoice
	All bool `help:"Every dead letter there is, also those that cannot be read."`
}

// Help says what comes of it.
func (dropLettersCmd) Help() string {
	return `What is dropped is gone, and nobody is asked again. A filter, IDs or --all say which; one of these is needed.

` + choiceHelp + `

Dead letters that cannot be read, because the disk is damaged, are dropped with --all, or by their IDs without a filter. A filter
cannot tell whether it chooses them: it leaves them, says how many there are and what is wrong with them, and the exit code is 1.

Examples:
  sluice dead-letters drop 17 18
  sluice dead-letters drop --output aws --reason too_old
  sluice dead-letters drop --until 720h                    # not tried for 30 days
  sluice dead-letters drop --all`
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
		d, err := place.drop(ctx, c.filter())
		err = errors.Join(err, noLetters(d.Missing), lettersLeft(d))
		if d.Letters == 0 && err == nil {
			c.sayNone(t, false)
		} else if d.Letters > 0 {
			fmt.Fprintln(t.out, droppedText(d))
		}
		return err
	})
}

func droppedText(d admin.Dropped) string {
	text := plural(int(d.Letters), "letter") + " dropped"
	if d.Unread > 0 {
		text += fmt.Sprintf(", of which %d could not be read", d.Unread)
	}
	return text
}

// lettersLeft tells of letters that a drop has left because they cannot be read; nil: there are none.
func lettersLeft(d admin.Dropped) error {
	if d.Left == 0 {
		return nil
	}
	return fmt.Errorf("left %s that cannot be read, as nobody can know whether the filter chooses such; "+
		"IDs without a filter, or --all, drop them:\n%s", plural(int(d.Left), "letter"), strings.Join(d.Faults, "\n"))
}
