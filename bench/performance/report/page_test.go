package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/bench/performance/load"
	"github.com/batch-go/batch/bench/performance/peer"
	"github.com/batch-go/batch/bench/performance/peers"
)

// some are results of two rounds, one of which lost a job.
func some() *Results {
	r := &Results{Machine: "a machine", Brokers: map[string]string{peer.Redis: "redis 8"}, Versions: map[string]string{"a": "v1"}}
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	r.Put(Entry{Broker: peer.Redis, Workload: "enqueue-1", Peer: peers.Ours, Form: "full", When: at, Rounds: []load.Result{
		{Jobs: 100, Took: time.Second, Sent: 100, Arrived: 100}, {Jobs: 300, Took: time.Second, Sent: 300, Arrived: 300},
	}})
	r.Put(Entry{Broker: peer.Redis, Workload: "enqueue-1", Peer: "asynq", Form: "quick", When: at, Rounds: []load.Result{
		{Jobs: 50, Took: time.Second, Sent: 50, Arrived: 49, Cost: load.Cost{Commands: 200}},
	}})
	r.Put(Entry{Broker: peer.Redis, Workload: "pickup", Peer: peers.Ours, Form: "full", When: at, Rounds: []load.Result{
		{Jobs: 10, Took: time.Second, Sent: 10, Arrived: 10, P50: time.Millisecond, P99: 2 * time.Millisecond, P999: 3 * time.Millisecond},
	}})
	r.Put(Entry{Broker: peer.Redis, Workload: "failing", Peer: peers.Ours, Form: "full", When: at, Failed: "no | luck"})
	return r
}

// TestPage shows that medians, spreads, losses, failures and reasons are on the page.
func TestPage(t *testing.T) {
	page := Page(some())
	for _, want := range []string{
		"| batch | 200 (100–300) |", "| asynq q | 50 | 0.25 |", "(1 of 50 jobs not handled in time)", "failed: no / luck",
		"| raw | no: it has no retries |", "| gocraft/work | Not measured", "commands |", "1 of 4 rows are of the quick form",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q:\n%s", want, page)
		}
	}
	for _, never := range []string{"| broker CPU |", "fsyncs", "Fsyncs"} {
		if strings.Contains(page, never) {
			t.Errorf("%q is on the page, and there are no figures of it", never)
		}
	}
}

// TestFsyncs shows that syncs are on the page where they were counted: none are a figure, and what was not counted is
// none.
func TestFsyncs(t *testing.T) {
	r := some()
	for name, n := range map[string]uint64{peers.Ours: 150, "asynq": 0, "watermill": 2} {
		e := r.Find(peer.Redis, "enqueue-1", peers.Ours)
		if name != peers.Ours {
			e = &Entry{Broker: peer.Redis, Workload: "enqueue-1", Peer: name, Form: "full", Rounds: []load.Result{{Jobs: 50, Took: time.Second}}}
		}
		e.Counted = &load.Result{Jobs: 1000, Took: time.Second, Cost: load.Cost{Fsyncs: n}}
		r.Put(*e)
	}
	r.Put(Entry{Broker: peer.Redis, Workload: "enqueue-1", Peer: "raw", Form: "full", Rounds: []load.Result{{Jobs: 50, Took: time.Second}}})
	page := Page(r)
	for _, want := range []string{
		"| peer | jobs/s | of batch | fsyncs |", "| batch | 200 (100–300) |  | 0.15 |", "| asynq | 50 | 0.25 | 0 |", "| watermill | 50 | 0.25 | 1 in 500 |", "| raw | 50 | 0.25 |  |", "**Fsyncs** are",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q:\n%s", want, page)
		}
	}
}

// TestPlots shows that all plots that the page has are written.
func TestPlots(t *testing.T) {
	folder := t.TempDir()
	if err := Plots(some(), folder); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"redis-rates.svg", "redis-latencies.svg"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !strings.Contains(string(text), "</svg>") {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(Page(some()), "performance/"+name) {
			t.Errorf("the page does not show %s", name)
		}
	}
}
