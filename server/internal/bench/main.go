// Command bench measures what docs/performance.md states, as ratios against ceilings of the
// same run: machines are shared and noisy, so seconds say little.
//
// Run it with `make bench`. It builds the server, runs it and its ceiling as processes of their
// own on loopback ports, loads them in turns, and takes the median of the rounds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"text/tabwriter"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "ceiling" {
		serveCeiling(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
		return
	}
	o := options{}
	flag.DurationVar(&o.round, "round", 2*time.Second, "how long one round of load takes")
	flag.IntVar(&o.rounds, "rounds", 5, "how many rounds, of which the median counts")
	flag.IntVar(&o.services, "services", 100_000, "services of the large directory")
	flag.IntVar(&o.rules, "rules", 1_000_000, "rules of the large directory")
	flag.StringVar(&o.only, "only", "", "one measurement alone: decide, verify, issue, oauth, large, callmap, start, memory or size")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to do for stop
	}
}

type options struct {
	round           time.Duration
	rounds          int
	services, rules int
	only            string
}

// line is one promise and what was measured.
type line struct {
	name, measured, promised string
	kept                     bool
}

func run(ctx context.Context, o options) error {
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	var lines []line
	for _, m := range []struct {
		name string
		run  func() ([]line, error)
	}{
		{"decide", b.decide},
		{"verify", b.verify},
		{"issue", b.issue},
		{"oauth", b.oauth},
		{"large", b.large},
		{"callmap", b.callMap},
		{"start", b.start},
		{"memory", b.memory},
		{"size", b.size},
	} {
		if o.only != "" && o.only != m.name {
			continue
		}
		l, err := m.run()
		if err != nil {
			return err
		}
		lines = append(lines, l...)
	}
	fmt.Printf("%s, %d CPUs, %s, %d rounds of %s\n\n", runtime.Version(), runtime.NumCPU(), time.Now().UTC().Format("2006-01-02"), o.rounds, o.round)
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tpromised\t")
	for _, l := range lines {
		mark := ""
		if !l.kept {
			mark = "NOT KEPT"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.name, l.measured, l.promised, mark)
	}
	return w.Flush()
}

func atLeast(name string, got, want float64) line {
	return line{name, fmt.Sprintf("%.2f", got), fmt.Sprintf(">= %.2f", want), got >= want}
}

func atMost(name string, got, want float64, unit string) line {
	return line{name, fmt.Sprintf("%.4g %s", got, unit), fmt.Sprintf("<= %g %s", want, unit), got <= want}
}
