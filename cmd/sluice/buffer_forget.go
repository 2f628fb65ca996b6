package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sluicelog/sluice/engine/disk"
)

type bufferForgetCmd struct {
	Yes    bool   `help:"Do it without a question. Needed where nobody can be asked: when standard input is no terminal."`
	Dir    string `arg:"" type:"path" help:"Directory of the disk buffer, buffer.disk.path in the gateway's config."`
	Output string `arg:"" help:"Name of the output, as sluice buffer inspect has it."`
}

// Help has examples.
func (bufferForgetCmd) Help() string {
	return `What the output had yet to deliver is lost for it; the other outputs lose nothing. First that is told, with how many records
it is, how many bytes and since when; and it is done when you type yes, or with --yes. The segments that nobody else needs are
freed when a gateway opens the buffer next. The gateway must be stopped for it.

What is in the config is not known here. An output that is still in there is not gone for good: it begins anew, with what
comes from then on.

Exit codes: 0 it is forgotten; 1 something failed, or the answer was not yes; 2 there is no such output or buffer, or
nobody can be asked and there is no --yes.

Examples:
  sluice buffer forget /var/lib/sluice old-aws
  sluice buffer forget --yes /var/lib/sluice old-aws`
}

// Run forgets the output.
func (c bufferForgetCmd) Run(t terminal) error {
	if !c.Yes {
		if err := c.ask(t); err != nil {
			return err
		}
	}
	f, err := disk.Forget(nil, c.Dir, c.Output)
	if err != nil {
		return bufferError(c.Dir, err)
	}
	size := int64(0)
	for _, s := range f.Freed {
		size += s.Size
	}
	fmt.Fprintf(t.out, "%s: gave up output %s with %s; %s of %s will be freed\n", c.Dir, cell(outputText(f.Name)),
		backlogText(&f.OutputReport), plural(len(f.Freed), "segment"), bytesText(size))
	return nil
}

// ask tells what would be lost, and asks whether that is meant; nil: it is, or there is no such output, which Forget tells.
func (c bufferForgetCmd) ask(t terminal) error {
	r, err := disk.Inspect(nil, c.Dir, false)
	if err != nil {
		return bufferError(c.Dir, err)
	}
	for i := range r.Outputs {
		if o := &r.Outputs[i]; o.Name == c.Output {
			fmt.Fprintf(t.err, "%s: output %s has yet to deliver %s. To forget it is to lose that.\n", c.Dir, cell(outputText(o.Name)),
				backlogText(o))
			return confirm(t)
		}
	}
	return nil
}

// confirm asks at a terminal for a yes; nil: it came.
func confirm(t terminal) error {
	if !isTerminal(t.in) {
		return &exitError{exitUsage, errors.New("nothing was done: nobody can be asked whether that is meant; --yes says that it is")}
	}
	fmt.Fprint(t.err, "Type yes to go on: ")
	answer, err := bufio.NewReader(t.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("nothing was done: read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was done: the answer was not yes")
	}
	return nil
}

// backlogText says what an output has yet to deliver.
func backlogText(o *disk.OutputReport) string {
	if o.Chunks == 0 {
		return "no records"
	}
	most := ""
	if o.AtMost() {
		most = "at most "
	}
	return fmt.Sprintf("%s%s of %s, the oldest of %s", most, plural(int(o.Records), "record"), bytesText(o.Bytes), cell(timeText(o.Oldest)))
}
