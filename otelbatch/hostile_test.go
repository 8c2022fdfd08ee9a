package otelbatch_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"

	"github.com/batch-go/batch"
)

// TestForeignJobs: what another program has written into a job is mended. An attribute that is
// not UTF-8 would cost all spans that are sent with it.
func TestForeignJobs(t *testing.T) {
	r := newRig(t, withCalls)
	job := &batch.JobInfo{
		ID: "\xff" + strings.Repeat("x", 1000), Kind: "\xfe\x00", Queue: "tasks", Attempt: 1, Deliveries: 1,
		Headers: map[string]string{"traceparent": "\xff", "tracestate": strings.Repeat("=,", 1000), "baggage": "\xff=\xff"},
	}
	ctx := r.hook.OnJobStart(t.Context(), job)
	r.hook.OnJobEnd(ctx, batch.JobEnd{Job: job, Started: true, Verdict: batch.Verdict{Outcome: batch.OutcomeDone}})
	r.hook.OnJobEnd(t.Context(), batch.JobEnd{Job: job, Verdict: batch.Verdict{Outcome: batch.OutcomeDead, Reason: batch.ReasonUnknownKind}})
	r.hook.OnCall(t.Context(), batch.Call{Op: batch.OpSettle, Queue: "tasks", Jobs: 1, Headers: func(yield func(string, map[string]string) bool) {
		yield(job.ID, map[string]string{"traceparent": given})
	}})
	check := func(of string, attributes []attribute.KeyValue) {
		for _, a := range attributes {
			if text := a.Value.String(); !utf8.ValidString(text) || len(text) > 200 {
				t.Errorf("%s has %s as %.40q", of, a.Key, text)
			}
		}
	}
	for _, span := range r.ended("") {
		check(span.Name(), span.Attributes())
		for _, link := range span.Links() {
			check("a link of "+span.Name(), link.Attributes)
		}
	}
	metrics, err := r.collect()
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range metrics {
		for _, p := range points(m) {
			if !utf8.ValidString(p.attributes) {
				t.Errorf("%s has the attributes %q", name, p.attributes)
			}
		}
	}
}

// TestWorkerInAHandler: the jobs of a worker that is started in a handler have the run of that
// in their contexts, and must not end it.
func TestWorkerInAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		inner := batch.NewQueue(r.driver, "inner", batch.WithHooks(r.hook))
		if _, err := inner.Enqueue(t.Context(), task{}, batch.ExpiresIn(inner, time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		r.enqueue(task{})
		time.Sleep(time.Second)
		r.start(func(ctx context.Context, _ *batch.Job[task]) error {
			w := batch.NewWorker(r.driver, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "inner"}}, Hooks: []batch.Hook{r.hook}, Log: silent})
			batch.Handle(w, func(context.Context, *batch.Job[task]) error { return nil })
			if err := w.Start(ctx); err != nil {
				return err
			}
			time.Sleep(time.Minute) // the job of the inner queue is dead by now
			return w.Stop(ctx)
		})
		time.Sleep(time.Hour)
		r.stop(time.Minute)
		run := r.only("process tasks")
		if took := run.EndTime().Sub(run.StartTime()); took < time.Minute || valueOf(run, "batch.job.outcome") != "done" {
			t.Errorf("the run has a span of %s that ended as %q", took, valueOf(run, "batch.job.outcome"))
		}
		r.only("dead_letter inner")
	})
}
