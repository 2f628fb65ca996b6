// Soak runs gateways for a long time with an output to CloudWatch Logs that goes wrong in every way that the strict fake
// knows, and checks that nothing is lost, reordered or duplicated without a cause, and that their memory, descriptors and
// goroutines stay flat.
//
// There is a gateway for each combination of connections kept alive or not and the three schedulers. Phases of faults,
// drawn by lot, take turns with quiet ones. A gateway fails when
//
//   - a record that it acked has not arrived, nor become the dead letter that it should have;
//   - records of a producer and log stream are reordered, for sync and keyed;
//   - records are duplicated that no reset, hang or cut answer explains: per log stream there may be as many as were in puts
//     that were carried out and whose answer was kept back;
//   - it refuses a record that is good;
//   - in a quiet phase nothing more of a producer is acked for 2 minutes;
//   - its memory, descriptors or goroutines do not stay flat: each quiet phase, once all before it is delivered, gives a
//     median; that of the last quarter of these may be over that of the first by a quarter, and by 16 MiB, 8 descriptors, or
//     16 goroutines. It takes eight quiet phases to tell, and Linux's /proc;
//   - it ends, or does not when it is told to.
//
// A gateway that has failed is ended; the others go on. At the end each is drained while all is well, and everything is
// accounted for: what is left is with its producer, who was told. Ctrl-C brings the end early; a second one ends the soak
// at once.
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
	"sync"
	"syscall"
	"time"
)

// A plan is what the command line says.
type plan struct {
	length   time.Duration
	parallel int
	seed     uint64
	every    time.Duration
	only     string
	binary   string
	rate     int
	verbose  bool
}

func main() {
	p, err := parse(os.Args[1:])
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop) // a second signal ends us as usual
		err = p.run(ctx, os.Stdout)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func parse(args []string) (plan, error) {
	var p plan
	var hourCount, minutes float64
	flags := flag.NewFlagSet("soak", flag.ExitOnError)
	flags.Float64Var(&hourCount, "hours", 0, "how long each gateway runs, with -minutes added; neither: 10 minutes")
	flags.Float64Var(&minutes, "minutes", 0, "the same in minutes")
	flags.IntVar(&p.parallel, "parallel", 0, "gateways at a time; over 6 there are several of a combination (default 6)")
	flags.Uint64Var(&p.seed, "seed", 0, "draws the same faults again (default: by chance)")
	flags.DurationVar(&p.every, "every", 0, "how often a table is printed (default: 20 times, from every 10 s to every 10 min)")
	flags.StringVar(&p.only, "only", "", "combinations whose name contains this, such as keyed or sync-reconnect")
	flags.StringVar(&p.binary, "binary", "bin/sluice", "the gateway")
	flags.IntVar(&p.rate, "rate", 50, "records a second of each of the four producers of a gateway")
	flags.BoolVar(&p.verbose, "v", false, "tell each phase as it begins")
	if err := flags.Parse(args); err != nil {
		return p, err
	}
	p.length = time.Duration((hourCount + minutes/60) * float64(time.Hour))
	if hourCount == 0 && minutes == 0 {
		p.length = 10 * time.Minute
	}
	if p.parallel == 0 {
		p.parallel = len(combinations())
	}
	if p.every == 0 {
		p.every = min(max(p.length/20, 10*time.Second), 10*time.Minute)
	}
	if p.seed == 0 {
		p.seed = rand.Uint64N(1e9) + 1
	}
	if p.length <= 0 || p.parallel < 0 || p.every < 0 || p.rate <= 0 || len(named(p.only)) == 0 {
		return p, errors.New("time, -parallel, -every and -rate must be over 0, and -only must name a combination")
	}
	return p, nil
}

// unit is about how long a phase is in a run of that length, so that a short one has many, too.
func unit(length time.Duration) time.Duration {
	return min(max(length/60, 5*time.Second), time.Minute)
}

// run runs all trials. The error says that there were failures, or what kept trials from running.
func (p plan) run(ctx context.Context, w io.Writer) error {
	dir, err := os.MkdirTemp("", "sluice-soak-")
	if err != nil {
		return err
	}
	out := &output{w: w}
	trials := p.trials(processes{p.binary, dir}, newKeys(dir), out)
	fmt.Fprintf(w, "%d gateways, %d at a time, %s each, seed %d (-seed %d draws the same faults)\n",
		len(trials), min(p.parallel, len(trials)), p.length, p.seed, p.seed)
	err = p.runAll(ctx, trials, out)

	reports := full(trials)
	out.table(reports)
	failed := explain(w, reports)
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d gateways failed", failed, len(trials)))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// trials makes a trial for each combination, or more of them where more are to run at a time.
func (p plan) trials(h host, k *keys, out *output) []*trial {
	set := settings{length: p.length, unit: unit(p.length), rate: p.rate, tell: func(string, ...any) {}}
	if p.verbose {
		set.tell = out.tell
	}
	of := named(p.only)
	n := len(of)
	if p.parallel > n && p.only == "" {
		n = p.parallel
	}
	all := make([]*trial, n)
	for i := range all {
		c := of[i%len(of)]
		name := c.String()
		if i >= len(of) {
			name = fmt.Sprintf("%s-%d", name, i/len(of)+1)
		}
		all[i] = newTrial(c, name, p.seed+uint64(i), set, h, k)
	}
	return all
}

// runAll runs as many at a time as the plan says, and tells of them meanwhile.
func (p plan) runAll(ctx context.Context, trials []*trial, out *output) error {
	var running sync.WaitGroup
	slots := make(chan struct{}, p.parallel)
	errs := make([]error, len(trials))
	for i, t := range trials {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() == nil {
				errs[i] = t.run(ctx)
			}
		})
	}
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(p.every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				out.table(full(trials))
			case <-done:
				return
			}
		}
	})
	running.Wait()
	close(done)
	telling.Wait()
	return errors.Join(errs...)
}

// full gives the reports of the trials that have begun.
func full(trials []*trial) []report {
	var reports []report
	for _, t := range trials {
		if r := t.full(); r.phase != waiting {
			reports = append(reports, r)
		}
	}
	return reports
}

// An output is what several print to, each a whole at a time.
type output struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (o *output) tell(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.w, format+"\n", args...)
}

func (o *output) table(reports []report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	printTable(o.w, reports)
}
