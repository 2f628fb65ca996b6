// Command sluice is the gateway and its tools: serve runs it, send streams lines to it, check reads its config.
package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// version is stamped by the build with -ldflags "-X main.version=...".
var version = "dev"

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1 // something did not work, or not all was acked
	exitUsage       = 2 // the command line or the config is wrong
	exitUndelivered = 3 // serve stopped with records that were not delivered, and are not kept
)

const description = `A gateway for log records over gRPC, with exact memory limits.

Exit codes: 0 all is well; 1 something failed, or not all was acked; 2 the command line or the config is wrong;
3 the gateway stopped with records that were not delivered, and that no disk buffer keeps.`

// cli is the command line.
type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run the gateway."`
	Send    sendCmd    `cmd:"" help:"Stream lines to a gateway, one record each."`
	Check   checkCmd   `cmd:"" help:"Say everything that is wrong with a config file."`
	Letters lettersCmd `cmd:"" name:"dead-letters" help:"List, show, replay and drop dead letters."`
	Buffer  bufferCmd  `cmd:"" help:"Look at the directory of a disk buffer that no gateway uses."`
	Version versionCmd `cmd:"" help:"Say the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Say the version."`
}

// terminal is what a command reads from and writes to.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], terminal{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs a command line and gives its exit code.
func run(ctx context.Context, args []string, t terminal) int {
	parser, err := kong.New(&cli{},
		kong.Name("sluice"),
		kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(t.out, t.err),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t),
		kong.Vars{"version": "sluice " + version},
	)
	if err != nil {
		panic(err) // the tags of cli are wrong
	}
	command, err := parser.Parse(args)
	if err != nil {
		parser.Errorf("%s; sluice --help says more", err)
		return exitUsage
	}
	if err := command.Run(); err != nil {
		if failure, ok := errors.AsType[*exitError](err); !ok || failure.err != nil {
			parser.Errorf("%s", plain(err))
		}
		return exitCode(err)
	}
	return exitOK
}

// An exitError ends the process with a code of its own. Without an err all was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "failed"
	}
	return e.err.Error()
}

// Unwrap gives the cause.
func (e *exitError) Unwrap() error { return e.err }

func exitCode(err error) int {
	if failure, ok := errors.AsType[*exitError](err); ok {
		return failure.code
	}
	return exitFailure
}

type versionCmd struct{}

// Run says the version.
func (versionCmd) Run(t terminal) error {
	_, err := io.WriteString(t.out, "sluice "+version+"\n")
	return err
}
