package otelbatch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/otelbatch"
)

// ofConventions are the attributes that the conventions know, of those that are used here.
var ofConventions = []attribute.Key{
	semconv.MessagingSystemKey, semconv.MessagingDestinationNameKey, semconv.MessagingOperationNameKey, semconv.MessagingOperationTypeKey,
	semconv.MessagingMessageIDKey, semconv.MessagingMessageBodySizeKey, semconv.MessagingBatchMessageCountKey, semconv.ErrorTypeKey,
}

// checkKey finds an attribute whose name is neither of the conventions nor this package's own.
func checkKey(t *testing.T, of string, key attribute.Key) {
	t.Helper()
	if !slices.Contains(ofConventions, key) && !strings.HasPrefix(string(key), "batch.") {
		t.Errorf("%s has the attribute %s, which is neither of the conventions nor our own", of, key)
	}
}

// measured is what a metric has to look like.
type measured struct {
	unit   string
	points []point
}

// scenario is what the metrics are measured of: seven jobs.
func scenario(r *rig) {
	r.config.Timeout, r.config.StuckAfter = time.Minute, time.Second
	r.config.Queues[0].Lease = 3 * time.Second
	var lost, refused atomic.Bool
	r.driver.extend = func(d []*driver.Delivery) []error {
		i := slices.IndexFunc(d, func(d *driver.Delivery) bool { return d.ID == "lost" })
		if i < 0 || lost.Swap(true) {
			return nil
		}
		errs := make([]error, len(d))
		errs[i] = fault(batch.ErrLeaseLost, driver.FateNotStored)
		return errs
	}
	r.driver.settle = func(s []driver.Settlement) []error {
		if refused.Swap(true) {
			return nil
		}
		return same(len(s), fault(batch.ErrUnavailable, driver.FateNotStored))
	}
	for _, id := range []string{"done", "fails", "snoozes", "dies", "stuck", "lost"} {
		r.enqueue(task{}, batch.ID(r.queue, id), batch.MaxAttempts(r.queue, 2))
	}
	r.driver.enqueue = slowly(failing(batch.ErrFull, driver.FateNotStored))
	_, _ = r.queue.Enqueue(r.t.Context(), task{})
	r.driver.enqueue = nil
	release := make(chan struct{})
	r.start(func(ctx context.Context, job *batch.Job[task]) error {
		switch again := job.Deliveries > 1; {
		case job.ID == "fails" && !again:
			return errBoom
		case job.ID == "snoozes" && !again:
			return batch.Snooze(time.Second)
		case job.ID == "dies":
			return batch.Permanent(errBoom)
		case job.ID == "stuck" && !again:
			<-release
		case job.ID == "lost" && !again:
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	time.Sleep(time.Hour)
	r.stop(time.Minute)
	close(release)
	synctest.Wait()
}

// TestMetrics reads all of them back after a scenario.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		scenario(r)
		metrics, err := r.collect()
		if err != nil {
			t.Fatal(err)
		}
		base := func(more string) string {
			return strings.ReplaceAll(more, "~", "messaging.destination.name=tasks") + ",messaging.system=memory"
		}
		kind, send, process := "batch.job.kind=task,~", ",messaging.operation.name=send", ",messaging.operation.name=process"
		boom, full := ",error.type=*errors.errorString", ",error.type=full"
		outcome := func(name string) string { return base("batch.job.kind=task,batch.job.outcome=" + name + ",~") }
		for name, want := range map[string]measured{
			"messaging.client.sent.messages":     {"{message}", []point{{base(kind + send), 6}, {base("batch.job.kind=task" + full + ",~" + send), 1}}},
			"messaging.client.consumed.messages": {"{message}", []point{{base(kind + process), 10}}},
			"messaging.process.duration": {"s", []point{
				{base(kind + process), 6}, {base("batch.job.kind=task" + boom + ",~" + process), 2},
				{base("batch.job.kind=task,error.type=timeout,~" + process), 1}, {base("batch.job.kind=task,error.type=lease_lost,~" + process), 1},
			}},
			"batch.job.wait.duration": {"s", []point{{base(kind), 6}}},
			"batch.job.outcomes": {"{job}", []point{
				{outcome("done"), 5}, {outcome("retry"), 2}, {outcome("snooze"), 1}, {outcome("lost"), 1}, {outcome("dead,batch.job.reason=permanent"), 1},
			}},
			"batch.lease.lost":    {"{job}", []point{{base("batch.job.kind=task,batch.job.started=true,~"), 1}}},
			"batch.handler.stuck": {"{handler}", []point{{base(kind), 1}}},
		} {
			m := metrics[name]
			if got := points(m); m.Unit != want.unit || !samePoints(got, want.points) {
				t.Errorf("%s in %s is\n%v\nwant in %s\n%v", name, m.Unit, got, want.unit, want.points)
			}
		}
		faults := points(metrics["batch.broker.faults"])
		if len(faults) != 1 || !strings.Contains(faults[0].attributes, "error.type=unavailable") || !strings.Contains(faults[0].attributes, "name=settle") {
			t.Errorf("the faults are %v, want one kind of settlement that failed", faults)
		}
		if waited := metrics["batch.job.wait.duration"].Data.(metricdata.Histogram[float64]).DataPoints[0]; waited.Sum < 5 {
			t.Errorf("the jobs waited for %f s, want a second each", waited.Sum)
		}
		checkOperations(t, points(metrics["messaging.client.operation.duration"]))
		checkDescribed(t, metrics)
	})
}

// samePoints compares measurements in any order.
func samePoints(a, b []point) bool {
	sorted := func(all []point) []point {
		return slices.SortedFunc(slices.Values(all), func(a, b point) int { return strings.Compare(a.attributes, b.attributes) })
	}
	return slices.Equal(sorted(a), sorted(b))
}

// checkOperations looks for the operations that are measured.
func checkOperations(t *testing.T, all []point) {
	t.Helper()
	for _, want := range []string{"send", "receive", "settle"} {
		if !slices.ContainsFunc(all, func(p point) bool {
			return strings.Contains(p.attributes, "operation.name="+want+",messaging.operation.type="+want) && p.value > 0
		}) {
			t.Errorf("no operation %q was measured: %v", want, all)
		}
	}
}

// checkDescribed looks at the names of attributes, and for descriptions and boundaries.
func checkDescribed(t *testing.T, metrics map[string]metricdata.Metrics) {
	t.Helper()
	for name, m := range metrics {
		if m.Description == "" {
			t.Errorf("%s has no description", name)
		}
		for _, p := range points(m) {
			for part := range strings.SplitSeq(p.attributes, ",") {
				key, _, _ := strings.Cut(part, "=")
				checkKey(t, name, attribute.Key(key))
			}
		}
		if data, ok := m.Data.(metricdata.Histogram[float64]); ok && (data.DataPoints[0].Bounds[0] != 0.005 || len(data.DataPoints[0].Bounds) < 14) {
			t.Errorf("%s has the boundaries %v", name, data.DataPoints[0].Bounds)
		}
	}
}

// TestSpanAttributes looks at the names of all attributes of spans, and at the scope.
func TestSpanAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *otelbatch.Config) { c.CallSpans, c.BodySize = true, true })
		scenario(r)
		for _, span := range r.ended("") {
			seen := make(map[attribute.Key]bool)
			for _, a := range span.Attributes() {
				checkKey(t, span.Name(), a.Key)
				if seen[a.Key] {
					t.Errorf("%s has %s twice", span.Name(), a.Key)
				}
				seen[a.Key] = true
			}
			for _, key := range []attribute.Key{semconv.MessagingSystemKey, semconv.MessagingDestinationNameKey, semconv.MessagingOperationNameKey} {
				if !seen[key] {
					t.Errorf("%s has no %s", span.Name(), key)
				}
			}
			if name := valueOf(span, "messaging.operation.name") + " tasks"; span.Name() != name {
				t.Errorf("the span is called %q, want %q", span.Name(), name)
			}
			scope := span.InstrumentationScope()
			if scope.Name != otelbatch.Scope || scope.SchemaURL != "https://opentelemetry.io/schemas/"+otelbatch.SemanticConventions {
				t.Errorf("the scope is %+v", scope)
			}
		}
	})
}

// TestKindsAreBounded: what comes from the broker cannot make series without end.
func TestKindsAreBounded(t *testing.T) {
	r := newRig(t, nil)
	const jobs = 700
	for i := range jobs {
		r.enqueue(batch.Raw{JobKind: fmt.Sprint("kind-", i), ContentType: "text/plain"})
	}
	metrics, err := r.collect()
	if err != nil {
		t.Fatal(err)
	}
	all := points(metrics["messaging.client.sent.messages"])
	total := 0
	for _, p := range all {
		total += int(p.value)
	}
	if len(all) != 501 || total != jobs {
		t.Errorf("%d jobs of as many kinds are %d series that sum to %d, want 500 and one for the others", jobs, len(all), total)
	}
}
