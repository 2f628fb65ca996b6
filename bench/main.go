// Bench measures the gateway as a whole process, beside a baseline that runs at the same time on the same machine: what
// it prints and writes are ratios. README.md says how to read them.
//
//	go run ./bench [-quick] [-only throughput|idle|pause|bound|cloudwatch|disk] [-out DIR] [-dir DIR]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// A bench is one run's settings.
type bench struct {
	gateway string   // the binary
	self    string   // ours, which is also the floor, the loader and the other clients
	dir     string   // for configs, and for what lies on a disk
	env     []string // of children; nil: ours
	quick   bool
}

// parts are what can be measured, in the order in which it is.
const (
	partThroughput = "throughput"
	partIdle       = "idle"
	partPause      = "pause"
	partBound      = "bound"
	partCloudWatch = "cloudwatch"
	partDisk       = "disk" // only when it is asked for: it needs a disk, and room on it
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures, or is one of the processes that a measurement is made with.
func run(ctx context.Context, args []string) error {
	if len(args) == 2 {
		switch args[0] {
		case roleFloor:
			return beFloor()
		case roleLoad:
			return beLoader(ctx, args[1])
		case roleHold:
			return beHolder(ctx, args[1])
		case rolePush:
			return bePusher(ctx, args[1])
		case roleFake:
			return beFake(ctx, args[1])
		case rolePut:
			return bePutter(ctx, args[1])
		case roleAppend:
			return beAppender(ctx, args[1])
		case roleFill:
			return beFiller(args[1])
		case roleRecover:
			return beRecoverer(ctx, args[1])
		}
	}
	return measure(ctx, args)
}

// measure runs the parts, and prints and writes what they gave.
func measure(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "fewer and shorter rounds: about 3 minutes, for a first look")
	only := flags.String("only", "", "measure one part: throughput, idle, pause, bound, cloudwatch or disk")
	out := flags.String("out", "", "directory for the results (default bench/results for a whole run, else none)")
	gateway := flags.String("gateway", "bin/sluice", "the gateway's binary")
	dir := flags.String("dir", "", "directory for temporary files, on the disk that is measured (default the system's)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	parts := []string{partThroughput, partIdle, partPause, partBound, partCloudWatch}
	if *only != "" {
		if parts = append(parts, partDisk); !slices.Contains(parts, *only) {
			return fmt.Errorf("-only %s: it is one of %v", *only, parts)
		}
		parts = []string{*only}
	} else if *out == "" && !*quick {
		*out = "bench/results"
	}
	b := bench{gateway: *gateway, quick: *quick}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(*dir, "sluice-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()

	r := report{Machine: inspect(ctx), Quick: b.quick, only: *only}
	for _, part := range parts {
		if err := r.add(ctx, b, part); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	fmt.Print("\n", r.markdown())
	if *out != "" {
		return r.write(*out)
	}
	return nil
}

// progress says what is going on, on one line.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
