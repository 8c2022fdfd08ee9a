package otelbatch_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	api "go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/otelbatch"
)

// stored returns the headers of the one job that is stored.
func (r *rig) stored() map[string]string {
	r.t.Helper()
	jobs, _, err := batch.ListJobs(r.t.Context(), r.queue, batch.StateWaiting, "", 10)
	if err != nil || len(jobs) != 1 {
		r.t.Fatalf("%d jobs are stored, %v; want one", len(jobs), err)
	}
	return jobs[0].Headers
}

// given is a trace context that a producer gives to a job.
const given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestContextTravelsInTheHeaders looks at the headers that a job is stored with.
func TestContextTravelsInTheHeaders(t *testing.T) {
	r := newRig(t, nil)
	r.enqueue(task{}, batch.Header(r.queue, "tenant", "7"))
	sc := r.only("send tasks").SpanContext()
	want := map[string]string{"tenant": "7", "traceparent": fmt.Sprintf("00-%s-%s-%s", sc.TraceID(), sc.SpanID(), sc.TraceFlags())}
	if got := r.stored(); !maps.Equal(got, want) {
		t.Errorf("the headers are %v, want %v", got, want)
	}
}

// TestGivenContextIsKept: a context that the producer has set is not changed. The span links
// to it, and so do the runs.
func TestGivenContextIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		traceparent string
		links       int
	}{"valid": {given, 1}, "no context": {"nonsense", 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.enqueue(task{}, batch.Header(r.queue, "traceparent", c.traceparent))
				if got := r.stored(); !maps.Equal(got, map[string]string{"traceparent": c.traceparent}) {
					t.Errorf("the headers are %v", got)
				}
				r.start(func(context.Context, *batch.Job[task]) error { return nil })
				synctest.Wait()
				r.stop(time.Minute)
				for _, name := range []string{"send", "process"} {
					span := r.only(name)
					if len(span.Links()) != c.links || c.links > 0 && span.Links()[0].SpanContext.TraceID().String() != given[3:35] {
						t.Errorf("the %s span has the links %v", name, span.Links())
					}
					if name == "send" && span.SpanKind() != api.SpanKindClient {
						t.Errorf("the span is a %s, and its context is not that of the job", span.SpanKind())
					}
				}
			})
		})
	}
}

// TestHeadersForPreparedJobs gives the context of a request to a job that is sent later.
func TestHeadersForPreparedJobs(t *testing.T) {
	r := newRig(t, nil)
	ctx, request := r.tracer.Tracer("test").Start(t.Context(), "request")
	prepared, err := r.queue.Prepare(ctx, task{}, batch.Headers(r.queue, r.hook.Headers(ctx)))
	request.End()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.queue.EnqueuePrepared(context.Background(), prepared); err != nil {
		t.Fatal(err)
	}
	if links := r.only("send").Links(); len(links) != 1 || links[0].SpanContext.SpanID() != request.SpanContext().SpanID() {
		t.Errorf("the enqueue has the links %v, want one to the request", links)
	}
	if len(r.hook.Headers(context.Background())) > 0 {
		t.Error("a context without a span has headers")
	}
}

// TestBaggageOnlyIfAsked: baggage is stored with a job if the propagator is one for it, and
// is in the context of the run.
func TestBaggageOnlyIfAsked(t *testing.T) {
	for _, asked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *otelbatch.Config) {
				if asked {
					c.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
				}
			})
			member, _ := baggage.NewMember("tenant", "7")
			bag, _ := baggage.New(member)
			if _, err := r.queue.Enqueue(baggage.ContextWithBaggage(t.Context(), bag), task{}); err != nil {
				t.Fatal(err)
			}
			if _, has := r.stored()["baggage"]; has != asked {
				t.Errorf("asked for %t, and stored %t", asked, has)
			}
			var seen string
			r.start(func(ctx context.Context, _ *batch.Job[task]) error {
				seen = baggage.FromContext(ctx).Member("tenant").Value()
				return nil
			})
			synctest.Wait()
			r.stop(time.Minute)
			if (seen == "7") != asked {
				t.Errorf("asked for %t, and the run has %q", asked, seen)
			}
			r.ended("")
		})
	}
}

// TestGivenBaggageIsKept: it is no trace context, so the job gets one, and keeps its baggage.
func TestGivenBaggageIsKept(t *testing.T) {
	r := newRig(t, func(c *otelbatch.Config) {
		c.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	})
	member, _ := baggage.NewMember("tenant", "7")
	bag, _ := baggage.New(member)
	if _, err := r.queue.Enqueue(baggage.ContextWithBaggage(t.Context(), bag), task{}, batch.Header(r.queue, "baggage", "tenant=8")); err != nil {
		t.Fatal(err)
	}
	if got := r.stored(); got["baggage"] != "tenant=8" || got["traceparent"] == "" {
		t.Errorf("the headers are %v", got)
	}
}

// TestTracingRefusesNoJob: a job that has no room for a trace context is enqueued without.
func TestTracingRefusesNoJob(t *testing.T) {
	limit := memory.New().Info().Limits.MaxHeaders
	many := make(map[string]string)
	for i := range 100 {
		many[fmt.Sprint("h", i)] = ""
	}
	for name, headers := range map[string]map[string]string{
		"100 headers": many,
		"full":        {"h": strings.Repeat("x", limit-1)},
		"nearly full": {"h": strings.Repeat("x", limit-60)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *otelbatch.Config) {
				c.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
			})
			member, _ := baggage.NewMember("tenant", strings.Repeat("7", 100))
			bag, _ := baggage.New(member)
			if _, err := r.queue.Enqueue(baggage.ContextWithBaggage(t.Context(), bag), task{}, batch.Headers(r.queue, headers)); err != nil {
				t.Fatal(err)
			}
			if got := r.stored(); !maps.Equal(got, headers) {
				t.Errorf("%d headers are stored, want the %d of the caller", len(got), len(headers))
			}
		})
	}
	r := newRig(t, func(c *otelbatch.Config) {
		c.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	})
	member, _ := baggage.NewMember("tenant", strings.Repeat("7", 1000))
	bag, _ := baggage.New(member)
	headers := map[string]string{"h": strings.Repeat("x", limit-500)}
	if _, err := r.queue.Enqueue(baggage.ContextWithBaggage(t.Context(), bag), task{}, batch.Headers(r.queue, headers)); err != nil {
		t.Fatal(err)
	}
	if got := r.stored(); got["traceparent"] == "" || got["baggage"] != "" {
		t.Errorf("want the trace context without the baggage, got %d headers", len(got))
	}
}
