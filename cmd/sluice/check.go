package main

import (
	"errors"
	"fmt"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
)

type checkCmd struct {
	Schema bool   `help:"Print the JSON Schema of config files, for editors, and check nothing."`
	File   string `arg:"" optional:"" type:"path" help:"Config file."`
}

// Help has examples.
func (checkCmd) Help() string {
	return `Everything that is wrong with the file is said at once, one fault a line, as FILE:LINE:COL: key: what. Warnings are
about what is allowed and probably not meant, and about what this machine lacks: memory, and room on the disk for the buffer;
they do not fail the check. Whether certificates can be read, files written and addresses listened on is found out by serve.

Examples:
  sluice check /etc/sluice/sluice.yaml
  sluice check --schema > sluice.schema.json`
}

// Run checks the file.
func (c checkCmd) Run(t terminal) error {
	if c.Schema {
		schema, err := config.Schema()
		if err != nil {
			return err
		}
		_, err = t.out.Write(schema)
		return err
	}
	if c.File == "" {
		return &exitError{exitUsage, errors.New("which file? sluice check FILE")}
	}
	here := config.Here()
	memory := here.Memory
	read, warnings, err := config.Load(c.File, here)
	for _, w := range warnings {
		fmt.Fprintf(t.err, "%s (warning)\n", w)
	}
	if err != nil {
		return badConfig(t, err)
	}
	limits := read.EngineLimits(memory)
	fmt.Fprintf(t.out, "%s: good, with %s, %s and up to %s; takes up to %s of %s here, %s of it for records\n", c.File,
		plural(len(read.Outputs), "output"), plural(len(read.Routes), "route"), plural(limits.Streams, "stream"),
		bytesText(config.Bound(limits, int64(read.Server.GRPC.StreamWindow), read.ReadBack(limits))), bytesText(memory), bytesText(limits.Engine))
	return nil
}

// badConfig prints faults as they are, for editors to find, and leaves other errors to the caller.
func badConfig(t terminal, err error) error {
	if faults, ok := errors.AsType[*config.FaultsError](err); ok {
		fmt.Fprintln(t.err, faults)
		return &exitError{code: exitUsage}
	}
	return &exitError{exitUsage, err}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// bytesText is a number of bytes for people.
func bytesText[T int | int64 | uint64](n T) string {
	size, unit := float64(n), 0
	for size >= 1024 && unit < 4 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%.*f %s", min(unit, 1), size, [...]string{"B", "KiB", "MiB", "GiB", "TiB"}[unit])
}
