// Crash kills gateways with a disk buffer, as kill -9 does and at random moments, and checks what they have written to files.
//
// Producers, who live through all of it, log numbered records under load: several with streams of the SDK, one that makes
// SendLogs calls. The files are read while they grow, so that it is known when each record was written. A gateway fails when
//
//   - a record that was logged is not in the files at the end, when the producers were told that all is acked and the
//     last gateway has drained;
//   - in one life of a gateway the numbers of a stream are not an unbroken row, or the first of them leaves some out: records
//     are lost, out of order, or were stored twice;
//   - a record is written again though its first copy was written before the last checkpoint that was there at the kill, by
//     more than it takes to tell the buffer; or longer before the kill than the window: the interval between checkpoints,
//     and how long one may take. All other repeats are what is documented, and counted;
//   - there is anything else in the files than records, byte for byte, and lines that a kill has torn;
//   - it logs an error, ends by itself, does not start, or does not drain; or its buffer is not good in the end.
//
// There is a trial for each config beside this file. Ctrl-C brings the end early; a second one ends all at once. Where
// something is wrong the directory is kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// interval is how often the gateways write a checkpoint: the default.
const interval = time.Second

func main() {
	set, only, err := parse(os.Args[1:])
	if err == nil {
		err = interruptible(func(ctx context.Context, enough <-chan struct{}) error {
			return run(ctx, enough, set, only, os.Stdout)
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

func parse(args []string) (set settings, only string, err error) {
	flags := flag.NewFlagSet("crash", flag.ExitOnError)
	flags.StringVar(&set.binary, "binary", "bin/sluice", "the gateway")
	flags.IntVar(&set.kills, "kills", 200, "kills of each trial")
	flags.IntVar(&set.rate, "rate", 1000, "records a second of each of the five producers")
	flags.DurationVar(&set.shortest, "shortest", 50*time.Millisecond, "least time from when a gateway listens until it is killed")
	flags.DurationVar(&set.longest, "longest", 1500*time.Millisecond, "most of it")
	flags.DurationVar(&set.window.interval, "checkpoint", interval, "between the gateways' checkpoints")
	flags.DurationVar(&set.window.slack, "slack", 2*time.Second, "how long a checkpoint may take")
	flags.DurationVar(&set.window.telling, "telling", 500*time.Millisecond, "how long it may take until a record that is in the file counts as delivered")
	flags.Uint64Var(&set.seed, "seed", 0, "draws the same moments again (default: by chance)")
	flags.StringVar(&only, "only", "", "trials whose name contains this, of "+strings.Join(kinds(), ", "))
	if err := flags.Parse(args); err != nil {
		return set, only, err
	}
	if set.seed == 0 {
		set.seed = rand.Uint64N(1e9) + 1
	}
	if set.kills <= 0 || set.rate <= 0 || set.shortest < 0 || set.longest <= set.shortest {
		return set, only, errors.New("-kills and -rate must be over 0, and -longest over -shortest")
	}
	set.binary, err = filepath.Abs(set.binary)
	return set, only, err
}

// interruptible runs something that the first signal brings to an early end, and the second one to an end at once.
func interruptible(run func(ctx context.Context, enough <-chan struct{}) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	enough, done := make(chan struct{}), make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case s := <-signals:
				if n == 0 {
					close(enough)
				} else {
					cancel(fmt.Errorf("second signal: %s", s))
				}
			case <-done:
				return
			}
		}
	}()
	err := run(ctx, enough)
	signal.Stop(signals)
	close(done)
	<-ended
	return err
}

// run runs the trials one after the other. The error says which have failed, or what kept them from running.
func run(ctx context.Context, enough <-chan struct{}, set settings, only string, w io.Writer) error {
	set.tell = func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	var errs []error
	trials := 0
	for _, kind := range kinds() {
		if !strings.Contains(kind, only) {
			continue
		}
		if trials++; trials > 1 && isClosed(enough) {
			break
		}
		set.tell("%s: %d kills, seed %d", kind, set.kills, set.seed)
		errs = append(errs, try(ctx, enough, set, kind, w))
	}
	if trials == 0 {
		return fmt.Errorf("no trial is called %q", only)
	}
	return errors.Join(errs...)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// try runs one trial in a directory of its own, which is kept if something is wrong.
func try(ctx context.Context, enough <-chan struct{}, set settings, kind string, w io.Writer) error {
	dir, err := os.MkdirTemp("", "sluice-crash-")
	if err != nil {
		return err
	}
	r, err := newTrial(set, kind, dir).run(ctx, enough)
	if ctx.Err() != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	r.print(w)
	if wrongs := len(r.wrongs()); wrongs > 0 {
		err = errors.Join(err, errors.New("the gateway failed"))
	}
	if err != nil {
		return fmt.Errorf("%s, see %s: %w", kind, dir, err)
	}
	return os.RemoveAll(dir)
}
