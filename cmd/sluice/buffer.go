package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

type bufferInspectCmd struct {
	JSON bool   `name:"json" help:"Print JSON, with all that is known."`
	Dir  string `arg:"" type:"path" help:"Directory of the disk buffer."`
}

// Help has examples.
func (bufferInspectCmd) Help() string {
	return `Nothing is changed, and little is read: it takes seconds, however much is in the buffer. No gateway can use it
meanwhile. Damage within segments is found by sluice buffer verify.

An output that was taken out of the config is listed like the others: what it had yet to deliver is kept, with the
segments that it is in, until it is back and delivers it, or sluice buffer forget gives it up.

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
		return printJSON(t.out, r)
	}
	printReport(t.out, r.Report)
	printLetters(t.out, r.Letters)
	return nil
}

type bufferVerifyCmd struct {
	JSON bool   `name:"json" help:"Print JSON, as inspect does."`
	Dir  string `arg:"" type:"path" help:"Directory of the disk buffer."`
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
	} else if err := printJSON(t.out, r); err != nil {
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
	Letters *deadletter.Report `json:"dead_letters,omitempty"` // nil: there is no store
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

type bufferForgetCmd struct {
	Dir    string `arg:"" type:"path" help:"Directory of the disk buffer."`
	Output string `arg:"" help:"Name of the output, as sluice buffer inspect has it."`
}

// Help has examples.
func (bufferForgetCmd) Help() string {
	return `What the output had yet to deliver is lost for it, without a question; the other outputs lose nothing. The segments
that nobody else needs are freed when a gateway opens the buffer next. The gateway must be stopped for it.

An output that is still in the config is not gone for good: it begins anew, with what comes from then on.

Examples:
  sluice buffer forget /var/lib/sluice old-aws`
}

// Run forgets the output.
func (c bufferForgetCmd) Run(t terminal) error {
	f, err := disk.Forget(nil, c.Dir, c.Output)
	if err != nil {
		return bufferError(c.Dir, err)
	}
	size := int64(0)
	for _, s := range f.Freed {
		size += s.Size
	}
	fmt.Fprintf(t.out, "%s: gave up %s of output %s, %s, %s; %s of %s will be freed\n", c.Dir, plural(f.Chunks, "chunk"),
		cell(f.Name), plural(int(f.Records), "record"), bytesText(f.Bytes), plural(len(f.Freed), "segment"), bytesText(size))
	return nil
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

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
