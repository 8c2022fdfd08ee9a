package otelbatch_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/otelbatch"
)

// withCalls switches the spans of calls on.
func withCalls(c *otelbatch.Config) { c.CallSpans = true }

// TestCallSpans: with spans of calls, each job has a create span, and the call that sends
// them links to those; so does the call that settles them.
func TestCallSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withCalls)
		if _, err := batch.EnqueueAll(t.Context(), r.queue, []task{{1}, {2}, {3}}); err != nil {
			t.Fatal(err)
		}
		r.enqueue(task{4}, batch.Header(r.queue, "traceparent", given))
		created := make(map[api.SpanID]string)
		for _, span := range r.ended("create tasks") {
			created[span.SpanContext().SpanID()] = valueOf(span, "messaging.message.id")
			if span.SpanKind() != api.SpanKindProducer {
				t.Errorf("a create span is a %s", span.SpanKind())
			}
		}
		if len(created) != 3 {
			t.Errorf("there are %d create spans, want 3: one job has a context of its own", len(created))
		}
		checkLinks(t, r.ended("send tasks"), created)
		r.start(func(context.Context, *batch.Job[task]) error { return nil })
		time.Sleep(time.Minute)
		r.stop(time.Minute)
		checkLinks(t, r.ended("settle tasks"), created)
		for _, name := range []string{"receive", "extend", "consume", "stop", "close"} {
			if spans := r.ended(name); len(spans) > 0 {
				t.Errorf("there are %d spans %q", len(spans), name)
			}
		}
	})
}

// checkLinks looks for a link to each create span, with the job's ID, and to the context that
// was given.
func checkLinks(t *testing.T, calls []trace.ReadOnlySpan, created map[api.SpanID]string) {
	t.Helper()
	linked, count := 0, 0
	for _, call := range calls {
		if call.SpanKind() != api.SpanKindClient || call.EndTime().Before(call.StartTime()) {
			t.Errorf("%s is a %s from %s to %s", call.Name(), call.SpanKind(), call.StartTime(), call.EndTime())
		}
		if valueOf(call, "messaging.batch.message_count") == "" {
			t.Errorf("%s does not tell how many jobs it is about", call.Name())
		}
		for _, link := range call.Links() {
			count++
			id := link.Attributes[0].Value.AsString()
			if created[link.SpanContext.SpanID()] == id || link.SpanContext.TraceID().String() == given[3:35] {
				linked++
			}
		}
	}
	if linked != 4 || count != 4 {
		t.Errorf("%d spans of calls have %d links, %d of them right, want 4", len(calls), count, linked)
	}
}

// TestCallSpansOfFaultsAndTools: a call that fails is an error, and so are those of tools.
func TestCallSpansOfFaultsAndTools(t *testing.T) {
	r := newRig(t, withCalls, batch.WithEnqueueTimeout(time.Second))
	ctx, tool := r.tracer.Tracer("test").Start(t.Context(), "tool")
	if _, _, err := r.queue.DeadLetters().List(ctx, "", 10); err == nil {
		t.Fatal("there is no queue yet")
	}
	r.driver.enqueue = failing(batch.ErrFull, driver.FateNotStored)
	if _, err := r.queue.Enqueue(ctx, task{}); err == nil {
		t.Fatal("it was enqueued")
	}
	tool.End()
	for name, errorType := range map[string]string{"dead_letters tasks": "not_found", "send tasks": "full", "declare tasks": ""} {
		span := r.only(name)
		if valueOf(span, "error.type") != errorType || (span.Status().Code == codes.Error) != (errorType != "") {
			t.Errorf("%s has the error type %q and the status %+v", name, valueOf(span, "error.type"), span.Status())
		}
		if span.SpanContext().TraceID() != tool.SpanContext().TraceID() {
			t.Errorf("%s is not in the trace of its caller", name)
		}
	}
}

// TestSharedCallsAreRoots: a request that several callers share is in the trace of none.
func TestSharedCallsAreRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withCalls)
		if err := r.queue.Declare(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.driver.enqueue = func(context.Context, []*driver.Message) []driver.Result { time.Sleep(time.Second); return nil }
		for range 10 {
			go func() { _, _ = r.queue.Enqueue(t.Context(), task{}) }()
		}
		time.Sleep(time.Minute)
		links := 0
		for _, call := range r.ended("send tasks") {
			links += len(call.Links())
			if shared := len(call.Links()) > 1; shared && call.Parent().IsValid() {
				t.Errorf("a call for %d jobs is in the trace of one", len(call.Links()))
			}
			if took := call.EndTime().Sub(call.StartTime()); took != time.Second {
				t.Errorf("the span of a call that took a second is %s long", took)
			}
		}
		if links != 10 {
			t.Errorf("the calls link to %d jobs, want 10", links)
		}
	})
}

// TestInvalidTextIsMended: text that is not UTF-8 would cost all spans that are sent with it.
func TestInvalidTextIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.config.MaxAttempts = 1
		r.enqueue(task{})
		r.start(func(context.Context, *batch.Job[task]) error { return badText(strings.Repeat("\xff\x00boom", 1000)) })
		synctest.Wait()
		r.stop(time.Minute)
		text := r.only("process").Status().Description
		if !strings.Contains(text, "boom") || strings.Contains(text, "\xff") || len(text) > 2048 {
			t.Errorf("the description is %d bytes: %.40q", len(text), text)
		}
	})
}

// badText is an error whose text and type are bytes.
type badText string

func (e badText) Error() string     { return string(e) }
func (e badText) ErrorType() string { return string(e) }
