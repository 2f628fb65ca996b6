// Command cwfake serves a stand-in for Amazon CloudWatch Logs, to try sluice without an AWS account:
//
//	cwfake --latency 20ms
//	AWS_ENDPOINT_URL=http://127.0.0.1:4588 AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=any sluice serve ...
//
// On SIGINT it says what it was given.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// options are the command line.
type options struct {
	Addr      string        `default:"127.0.0.1:4588" help:"Address to listen on."`
	TLS       bool          `name:"tls" help:"Serve HTTPS with a self-signed certificate."`
	CAFile    string        `name:"ca-file" placeholder:"PATH" help:"Write the certificate there, for AWS_CA_BUNDLE."`
	Latency   time.Duration `help:"Of every call."`
	CountOnly bool          `help:"Keep counts alone: for benchmarks, or to run for long."`
	Throttle  float64       `placeholder:"N" help:"PutLogEvents a second and region before ThrottlingException."`
	Quotas    bool          `help:"All quotas of a new account: 5000 puts, 50 streams, 10 groups a second."`
	Fault     string        `placeholder:"SPEC" help:"What goes wrong, and how often: throttle=0.1,reset-after=0.01,hang=0.001"`
	Seed      uint64        `help:"Of the faults: the same seed, the same faults."`
	Region    []string      `help:"Regions that there are; none: all."`
	Key       string        `help:"The one access key that is known; none: every key, with any secret."`
	Secret    string        `help:"Its secret." env:"CWFAKE_SECRET"`
	Create    []string      `placeholder:"REGION:GROUP:STREAM" help:"Log streams that exist from the start."`
}

func main() {
	var o options
	command := kong.Parse(&o, kong.Name("cwfake"), kong.Description("A strict stand-in for Amazon CloudWatch Logs."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command.FatalIfErrorf(run(ctx, o, os.Stdout))
}

// run serves until ctx ends, and then says what came.
func run(ctx context.Context, o options, out io.Writer) error {
	set, err := o.server()
	if err != nil {
		return err
	}
	s := cwfake.New(set)
	defer s.Close()
	for _, name := range o.Create {
		t, err := cwfake.ParseTarget(name)
		if err != nil {
			return err
		}
		if err := s.CreateStream(t); err != nil {
			return err
		}
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return err
	}
	if o.TLS {
		l = s.TLS(l)
	}
	if o.CAFile != "" {
		if err := os.WriteFile(o.CAFile, s.CertPEM(), 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, s.Start(l))
	begin := time.Now()
	<-ctx.Done()
	if err := s.Close(); err != nil {
		return err
	}
	return summary(out, s, time.Since(begin))
}

// server gives the server's options.
func (o options) server() (cwfake.Options, error) {
	set := cwfake.Options{
		Regions: o.Region, Latency: o.Latency, CountOnly: o.CountOnly, AnyCredentials: o.Key == "",
	}
	if o.Key != "" {
		set.Credentials = []cwfake.Credentials{{KeyID: o.Key, Secret: o.Secret}}
	}
	if o.Quotas {
		set.Quotas = cwfake.DefaultQuotas()
	}
	if o.Throttle > 0 {
		set.Quotas.PutLogEvents = o.Throttle
	}
	faults, err := cwfake.ParseFaults(o.Fault, o.Seed)
	set.Fault = faults
	return set, err
}

// summary says what the server was given in its time.
func summary(out io.Writer, s *cwfake.Server, ran time.Duration) error {
	st := s.Stats()
	counted, wire := st.BytesPerPut()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "ran\t%v, %v of it with a put in flight, %v of CPU\n",
		ran.Round(time.Millisecond), st.Busy.Round(time.Millisecond), cpu())
	fmt.Fprintf(w, "events\t%d in %d puts, %d more out of the window\n", st.Events, st.Puts, st.Rejected)
	fmt.Fprintf(w, "bytes\t%d, a put %.0f on average, %d to %d, %.0f on the wire\n",
		st.Bytes, counted, st.SmallestBatch, st.LargestBatch, wire)
	fmt.Fprintf(w, "in flight\t%d at most, %d of one stream\n", st.MaxInFlight, st.MaxStreamFlight)
	fmt.Fprintf(w, "connections\t%d, %d at one time\n", st.Connections, st.MaxOpenConnections)
	var lines []string
	for op, results := range st.Calls {
		for result, n := range results {
			lines = append(lines, fmt.Sprintf("%s\t%d %s", op, n, result))
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	return w.Flush()
}

// cpu is the process's time, user and system.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Round(time.Millisecond)
}
