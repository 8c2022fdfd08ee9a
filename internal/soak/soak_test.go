package soak

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"
)

var (
	brokerFlag = flag.String("soak.broker", "", "the broker to test; all if it is empty")
	faultFlag  = flag.String("soak.fault", "", "the fault to test; all if it is empty")
	forFlag    = flag.Duration("soak.for", 0, "how long the load with random faults lasts; zero for a short one")
	seedFlag   = flag.Uint64("soak.seed", 0, "the seed of what is random; zero for a new one")
	tableFlag  = flag.Bool("soak.table", false, "do each fault by itself, and write docs/reliability.md if it was all of them")
)

func TestMain(m *testing.M) {
	if ChildMain() {
		return
	}
	brokers.AtOnce(3) // loads mostly wait
	brokers.Main(m)
}

// shortTime is how long the load of a short form lasts.
const shortTime = 12 * time.Second

// chosen are the targets that the command line names.
func chosen(t *testing.T) []target {
	if *brokerFlag == "" {
		return targets()
	}
	k, err := find(*brokerFlag)
	if err != nil {
		t.Fatal(err)
	}
	return []target{k}
}

// TestSoak puts a load with random faults on each broker.
func TestSoak(t *testing.T) {
	if *tableFlag {
		t.Skip("-soak.table does each fault by itself")
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	length := *forFlag
	if length == 0 {
		length = shortTime
	}
	for _, k := range chosen(t) {
		t.Run(k.name, func(t *testing.T) {
			if *forFlag == 0 {
				t.Parallel() // the short forms mostly wait
			}
			t.Logf("seed %d", seed)
			r := newRun(t, k)
			ctx, stop := context.WithTimeout(t.Context(), length+5*time.Minute)
			defer stop()
			v, err := r.long(ctx, t, length, seed)
			report(t, v, err)
		})
	}
}

// report fails the test for what is wrong, and logs the rest.
func report(t *testing.T, v verdict, err error) {
	t.Helper()
	t.Logf("%d confirmed, %d not stored, %d unknown, %d ran again %v, longest enqueue %s, longest standstill %s",
		v.Confirmed, v.NotStored, v.Unknown, v.Doubled, v.Causes, tenths(v.Stall), tenths(v.Standstill))
	for _, wrong := range v.Wrong {
		t.Error(wrong)
	}
	if err != nil {
		t.Error(err)
	}
	if v.Confirmed == 0 {
		t.Error("nothing was confirmed, so nothing was tested")
	}
}

// TestReliability does each fault by itself and writes the table.
func TestReliability(t *testing.T) {
	if !*tableFlag {
		t.Skip("only with -soak.table: the short form is TestSoak")
	}
	var rows []row
	for _, k := range chosen(t) {
		t.Run(k.name, func(t *testing.T) {
			r := newRun(t, k)
			for _, f := range faults() {
				if !f.suits(k) || *faultFlag != "" && f.name != *faultFlag {
					continue
				}
				t.Run(f.name, func(t *testing.T) {
					ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
					defer stop()
					v, err := r.one(ctx, f, 3*time.Second)
					report(t, v, err)
					rows = append(rows, row{target: k.name, broker: r.broker(), fault: f, verdict: v})
				})
			}
		})
	}
	if len(rows) == 0 {
		t.Errorf("no row was tested: %q of -soak.fault is no fault of the chosen brokers, which have %q", *faultFlag, faultNames(chosen(t)))
	}
	if !t.Failed() && *brokerFlag == "" && *faultFlag == "" {
		if err := writeTable(rows); err != nil {
			t.Error(err)
		}
	}
}

// faultNames are those of the faults that suit one of the brokers at least.
func faultNames(of []target) []string {
	var names []string
	for _, f := range faults() {
		if slices.ContainsFunc(of, f.suits) {
			names = append(names, f.name)
		}
	}
	return names
}

// broker is the name and version of the broker.
func (r *run) broker() string {
	if r.server == nil {
		return "a JetStream server in the process"
	}
	return fmt.Sprintf("%s %s", r.server.Name, r.server.Version)
}

// TestTableIsComplete compares the rows of the page with what can be tested.
func TestTableIsComplete(t *testing.T) {
	text, err := os.ReadFile(tablePath)
	if err != nil {
		t.Fatal(err)
	}
	var want []row
	for _, k := range targets() {
		for _, f := range faults() {
			if f.suits(k) {
				want = append(want, row{target: k.name, fault: f})
			}
		}
	}
	faulty, _, moves := strings.Cut(string(text), movesHeading)
	if !moves {
		t.Errorf("docs/reliability.md has no part %q, which make reliability is to leave there", strings.TrimSpace(movesHeading))
	}
	if got, want := keys(faulty), keys(table(want)); !slices.Equal(got, want) {
		t.Errorf("docs/reliability.md has other rows than there are: %q, want %q; make reliability writes it", got, want)
	}
}
