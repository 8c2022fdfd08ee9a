package performance

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"

	"github.com/batch-go/batch/bench/performance/load"
	"github.com/batch-go/batch/bench/performance/peer"
	"github.com/batch-go/batch/bench/performance/peers"
	"github.com/batch-go/batch/bench/performance/report"
)

var (
	runFlag      = flag.Bool("performance.run", false, "measure, and write docs/performance.md")
	pageFlag     = flag.Bool("performance.page", false, "write docs/performance.md again from its results")
	quickFlag    = flag.Bool("performance.quick", false, "the quick form, which shows that all runs and counts right")
	brokerFlag   = flag.String("performance.broker", "", "the brokers, with commas between them; all if it is empty")
	workloadFlag = flag.String("performance.workload", "", "the workloads; all if it is empty")
	peerFlag     = flag.String("performance.peer", "", "the peers; all if it is empty")
	backlogFlag  = flag.Int("performance.backlog", 0, "how many jobs the backlog has, instead of what the form says")
	roundsFlag   = flag.Int("performance.rounds", 0, "how often each is measured; 5 if it is zero, and 1 in the quick form")
	seedFlag     = flag.Uint64("performance.seed", 0, "the seed of the orders of peers; zero for a new one")
)

// Where the page, its plots and the results are, seen from this folder.
var (
	pagePath    = filepath.Join("..", "..", "docs", "performance.md")
	plotsPath   = filepath.Join("..", "..", "docs", "performance")
	resultsPath = filepath.Join(plotsPath, "results.json")
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	brokers.Main(m)
}

// among tells whether a list with commas has a name, or names nothing.
func among(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), strings.ReplaceAll(name, ", ", " "))
}

// TestFilters finds names in filters that nothing has.
func TestFilters(t *testing.T) {
	for _, good := range [][3]string{{}, {"redis,synced", "enqueue-1,process", "batch,raw gathered"}} {
		if faults := unknown(good[0], good[1], good[2]); faults != nil {
			t.Errorf("%q: %q", good, faults)
		}
	}
	if faults := unknown("redis-8,nats", "proces", "asynk,batch"); len(faults) != 3 {
		t.Errorf("there are three slips, and it found %q", faults)
	}
}

// unknown says which names in filters nothing has, so that a slip does not look like a result.
func unknown(broker, workload, library string) (faults []string) {
	var workloads, libraries []string
	for _, w := range load.Workloads() {
		workloads = append(workloads, w.Name)
	}
	for _, b := range peer.Brokers() {
		for _, r := range peers.Rows(b) {
			libraries = append(libraries, strings.ReplaceAll(r.Name, ", ", " "))
		}
	}
	slices.Sort(libraries)
	for _, f := range []struct {
		what, list string
		names      []string
	}{
		{"BROKER", broker, peer.Brokers()}, {"WORKLOAD", workload, workloads}, {"PEER", library, slices.Compact(libraries)},
	} {
		for _, name := range strings.Split(f.list, ",") {
			if name != "" && !slices.Contains(f.names, name) {
				faults = append(faults, fmt.Sprintf("there is no %s %q, only %q", f.what, name, f.names))
			}
		}
	}
	return faults
}

// TestPageIsOfItsResults makes the page again.
func TestPageIsOfItsResults(t *testing.T) {
	results, err := report.Read(resultsPath)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(pagePath)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("nothing was measured yet: make performance")
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != report.Page(results) {
		t.Error("docs/performance.md is not what its results make: make performance-page")
	}
}

// TestPerformance measures. Each broker is written when it is done.
func TestPerformance(t *testing.T) {
	if !*runFlag {
		t.Skip("make performance runs it")
	}
	if faults := unknown(*brokerFlag, *workloadFlag, *peerFlag); faults != nil {
		t.Fatal(strings.Join(faults, "\n"))
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	order := rand.New(rand.NewPCG(seed, 0))
	if err := os.MkdirAll(plotsPath, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, broker := range peer.Brokers() {
		if among(*brokerFlag, broker) {
			t.Run(broker, func(t *testing.T) { measureBroker(t, broker, order) })
		}
	}
	write(t, nil)
}

// TestPage writes the page again from what was measured.
func TestPage(t *testing.T) {
	if !*pageFlag {
		t.Skip("make performance-page runs it")
	}
	write(t, nil)
}

// write changes the results, and writes them and the page.
func write(t *testing.T, change func(*report.Results)) {
	t.Helper()
	results, err := report.Read(resultsPath)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(results)
		results.Machine = machine()
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, b := range peer.Brokers() {
				for _, row := range peers.Rows(b) {
					for _, m := range info.Deps {
						if m.Path == row.Module && m.Path != "github.com/batch-go/batch" {
							results.Versions[m.Path] = m.Version
						}
					}
				}
			}
		}
		if err := results.Write(resultsPath); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(pagePath, []byte(report.Page(results)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := report.Plots(results, plotsPath); err != nil {
		t.Fatal(err)
	}
}

// machine says what measures.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d processors, %s; %s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.Version())
}

// measureBroker does all workloads on a broker, and writes what came of each.
func measureBroker(t *testing.T, broker string, order *rand.Rand) {
	s := start(t, broker)
	for _, w := range load.Workloads() {
		if !w.For(broker) || !among(*workloadFlag, w.Name) {
			continue
		}
		entries := measureWorkload(t, s, broker, w, order)
		write(t, func(r *report.Results) {
			r.Brokers[broker] = s.name
			for _, e := range entries {
				r.Put(e)
			}
		})
	}
}

// scale is that of the form, with the rounds and how long a measurement may take.
func scale() (s load.Scale, form string, rounds int, limit time.Duration) {
	s, form, rounds, limit = load.Full, "full", 5, 10*time.Minute
	if *quickFlag {
		s, form, rounds, limit = load.Quick, "quick", 1, 45*time.Second
	}
	if *backlogFlag > 0 {
		s.Backlog, limit = *backlogFlag, 10*time.Minute
	}
	if *roundsFlag > 0 {
		rounds = *roundsFlag
	}
	return s, form, rounds, limit
}

// measureWorkload does a workload in rounds.
func measureWorkload(t *testing.T, s *server, broker string, w load.Workload, order *rand.Rand) []report.Entry {
	sizes, form, rounds, limit := scale()
	var rows []peers.Row
	var entries []report.Entry
	for _, row := range peers.Rows(broker) {
		if row.Open != nil && row.Lacks[w.Name] == "" && among(*peerFlag, row.Name) {
			rows = append(rows, row)
			entries = append(entries, report.Entry{Broker: broker, Workload: w.Name, Peer: row.Name, Form: form, When: time.Now().UTC()})
		}
	}
	lacks := make(map[int]bool)
	for round := range rounds {
		for _, i := range order.Perm(len(rows)) {
			if lacks[i] || entries[i].Failed != "" {
				continue
			}
			out, err := measureOne(t.Context(), s.at(rows[i]), assignment{Broker: broker, Peer: rows[i].Name, Workload: w.Name, Scale: sizes}, limit)
			switch {
			case out.Lacks:
				lacks[i] = true
				continue
			case err != nil:
				entries[i].Failed = err.Error()
			case out.Error != "":
				entries[i].Failed = out.Error
			default:
				entries[i].Rounds = append(entries[i].Rounds, out.Result)
			}
			r := out.Result
			t.Logf("%s %s round %d: %s: %d jobs in %s, p50 %s; sent %d arrived %d again %d %s %s", broker, w.Name, round+1, rows[i].Name,
				r.Jobs, r.Took.Round(time.Millisecond), r.P50, r.Sent, r.Arrived, r.Again, r.Note, entries[i].Failed)
		}
	}
	var done []report.Entry
	for i, e := range entries {
		if lacks[i] {
			continue
		}
		if w.Kind == load.Rate && e.Failed == "" {
			e.Counted = countFsyncs(t, s.at(rows[i]), assignment{Broker: broker, Peer: e.Peer, Workload: w.Name}, limit)
		}
		done = append(done, e)
	}
	return done
}

// countFsyncs does one measurement more, which counts the syncs and is not timed. It returns nil if that cannot be.
func countFsyncs(t *testing.T, s *server, a assignment, limit time.Duration) *load.Result {
	a.Scale, a.Meter.Fsyncs = load.Counted, true
	out, err := measureOne(t.Context(), s, a, limit)
	if err != nil || out.Error != "" {
		t.Logf("%s %s: %s: syncs were not counted: %v %s", a.Broker, a.Workload, a.Peer, err, out.Error)
		return nil
	}
	t.Logf("%s %s: %s: %d syncs of %d jobs in %s", a.Broker, a.Workload, a.Peer, out.Result.Fsyncs, out.Result.Jobs, out.Result.Took.Round(time.Millisecond))
	return &out.Result
}

// measureOne does one measurement on a server that has nothing else.
func measureOne(ctx context.Context, s *server, a assignment, limit time.Duration) (answer, error) {
	if s.clear != nil {
		if err := s.clear(ctx); err != nil {
			return answer{}, err
		}
	}
	a.At, a.Meter.Process = s.place, s.process
	if a.Broker == peer.Redis {
		a.Meter.Redis = s.place.Addr
	}
	if s.sql {
		a.Meter.SQL = s.place.URL
	}
	return a.measure(ctx, limit)
}
