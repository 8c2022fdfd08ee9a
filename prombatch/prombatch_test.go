package prombatch_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// Mail is a job of these tests.
type Mail struct{ Fail string }

// Kind names the job on the wire.
func (Mail) Kind() string { return "mail" }

// Report is another one, which no worker knows.
type Report struct{}

// Kind names the job on the wire.
func (Report) Kind() string { return "report" }

// samples is what a scrape has, by name and labels: of a histogram its count, by the name with _count.
type samples map[string]float64

// gather scrapes collectors, and checks that what they tell is consistent and has good names.
func gather(t *testing.T, collectors ...prometheus.Collector) samples {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	return samplesOf(t, registry)
}

// samplesOf are those of a registry.
func samplesOf(t *testing.T, registry prometheus.Gatherer) samples {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(samples)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			in := "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.GetCounter() != nil:
				all[f.GetName()+in] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				all[f.GetName()+in] = m.GetGauge().GetValue()
			default:
				all[f.GetName()+"_count"+in] = float64(m.GetHistogram().GetSampleCount())
				all[f.GetName()+"_sum"+in] = m.GetHistogram().GetSampleSum()
			}
		}
	}
	return all
}

// expect compares samples with those that are wanted; the others may be anything.
func (s samples) expect(t *testing.T, want samples) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, is := s[name]; !is || got != want[name] {
			t.Errorf("%s is %v (there: %t), want %v", name, got, is, want[name])
		}
	}
}

// absent fails if there is a sample with one of the prefixes.
func (s samples) absent(t *testing.T, prefixes ...string) {
	t.Helper()
	for name, value := range s {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				t.Errorf("%s is %v, want it absent", name, value)
			}
		}
	}
}

// enqueue enqueues jobs.
func enqueue[D batch.Driver](t *testing.T, q *batch.Queue[D], jobs ...batch.Args) {
	t.Helper()
	for _, job := range jobs {
		if _, err := q.Enqueue(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
}

// handle does what the job says.
func handle(_ context.Context, job *batch.Job[Mail]) error {
	switch {
	case job.Args.Fail == "":
		return nil
	case job.Attempt > 1:
		return nil
	case job.Args.Fail == "permanent":
		return batch.Permanent(fmt.Errorf("no such user"))
	}
	return fmt.Errorf("failed: %s", job.Args.Fail)
}
