package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/deadletter"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

type bufferCmd struct {
	Inspect bufferInspectCmd `cmd:"" help:"Show segments, outputs with their backlogs, and streams."`
	Verify  bufferVerifyCmd  `cmd:"" help:"Read all of it and check every checksum."`
	Forget  bufferForgetCmd  `cmd:"" help:"Give up an output, with all that it had yet to deliver."`
}

// Help says what the commands have in common.
func (bufferCmd) Help() string {
	return `The directory is buffer.disk.path of the gateway's config. The gateway must be stopped; run these as its user. inspect and verify
change nothing.

Exit codes: 0 all is well; 1 something is damaged or failed, or a gateway is using the directory; 2 the command line is
wrong, or there is no such buffer or output.

Examples:
  sluice buffer inspect /var/lib/sluice
  sluice buffer verify /var/lib/sluice
  sluice buffer forget /var/lib/sluice old-aws`
}

type bufferInspectCmd struct {
	JSON bool   `name:"json" help:"Print JSON, with all that is known."`
	Dir  string `arg:"" type:"path" help:"Directory of the disk buffer, buffer.disk.path in the gateway's config."`
}

// Help has examples.
func (bufferInspectCmd) Help() string {
	return `Nothing is changed, and little is read: it takes seconds, however much is in the buffer. No gateway can use it
meanwhile. Damage within segments is found by sluice buffer verify.

Of each output: the records that it has yet to deliver, with the chunks that they are in and their bytes, as limits count
them (≤: some of them may turn out to be for others); how many chunks were GIVEN OUT and are not done; the number of the
entry that it READS NEXT; when the OLDEST record came, in UTC; and in how many segments, which are files, they are. Of
each stream: what is STORED of it, the producer's EPOCH and the LAST sequence. Of streams those 20 are listed of which
most is stored; --json has all.

An output that was taken out of the config is listed like the others: what it had yet to deliver is kept, with the
segments that it is in, until it is back and delivers it, or sluice buffer forget gives it up. "` + storeText + `" is no output
of the config: these are records that some output refused, and that wait to be put into the store of dead letters.

In JSON bytes are numbers, times are UTC, epochs are strings, as they have more digits than many readers of JSON keep, and
the output of the store has "store": true.

Examples:
  sluice buffer inspect /var/lib/sluice
  sluice buffer inspect --json /var/lib/sluice | jq '.outputs[] | {name, records, bytes}'`
}

// Run looks at the buffer.
func (c bufferInspectCmd) Run(t terminal) error {
	r, err := inspectBuffer(c.Dir, false)
	if err != nil {
		return bufferError(c.Dir, err)
	}
	if c.JSON {
		return printJSON(t.out, r.view())
	}
	printReport(t.out, r.Report)
	printLetters(t.out, r.Letters)
	return nil
}

type bufferVerifyCmd struct {
	JSON bool   `name:"json" help:"Print JSON, as inspect does."`
	Dir  string `arg:"" type:"path" help:"Directory of the disk buffer, buffer.disk.path in the gateway's config."`
}

// Help has examples.
func (bufferVerifyCmd) Help() string {
	return `Nothing is changed. All that is in the buffer is read, as fast as the disk gives it; no gateway can use it meanwhile.
Damage is told with its segment, its offset and the entries that it costs; then the exit code is 1. A commit that was
under way when the gateway or the machine stopped is told, too, but is no damage: nobody was told that it is safe.

Examples:
  sluice buffer verify /var/lib/sluice
  sluice buffer verify --json /var/lib/sluice | jq .damage`
}

// Run verifies the buffer.
func (c bufferVerifyCmd) Run(t terminal) error {
	r, err := inspectBuffer(c.Dir, true)
	if err != nil {
		return bufferError(c.Dir, err)
	}
	if !c.JSON {
		printVerdict(t.out, c.Dir, r.Report)
		printLetters(t.out, r.Letters)
	} else if err := printJSON(t.out, r.view()); err != nil {
		return err
	}
	if !r.Good() || r.Letters != nil && !r.Letters.Good() {
		return &exitError{code: exitFailure} // it was told what is wrong
	}
	return nil
}

// A bufferReport is what is in a buffer's directory.
type bufferReport struct {
	*disk.Report
	Letters *deadletter.Report // nil: there is no store
}

func inspectBuffer(dir string, verify bool) (r bufferReport, err error) {
	if r.Report, err = disk.Inspect(nil, dir, verify); err != nil {
		return r, err
	}
	r.Letters, err = deadletter.Inspect(nil, filepath.Join(dir, config.StoreName), verify)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	return r, err
}

// bufferError says of an error of the buffer what whoever gave the command can do about it.
func bufferError(dir string, err error) error {
	switch {
	case errors.Is(err, seglog.ErrLocked):
		return fmt.Errorf("%s: a gateway is using it, or another sluice buffer: stop that first", dir)
	case errors.Is(err, fs.ErrNotExist):
		return &exitError{exitUsage, fmt.Errorf("%s: there is no such directory", dir)}
	case errors.Is(err, syscall.ENOTDIR):
		return &exitError{exitUsage, fmt.Errorf("%s: not a directory", dir)}
	case errors.Is(err, disk.ErrNoBuffer):
		return &exitError{exitUsage, fmt.Errorf("%s: %w", dir, disk.ErrNoBuffer)}
	case errors.Is(err, disk.ErrNoOutput):
		return &exitError{exitUsage, err}
	}
	return err
}
