package otelbatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	api "go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/otelbatch"
)

// lines are what a JSON handler has written.
func lines(t *testing.T, text *bytes.Buffer) []map[string]any {
	t.Helper()
	var all []map[string]any
	for decoder := json.NewDecoder(text); decoder.More(); {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	return all
}

// TestFailuresAreLoggedWithTheirTrace: each line about a run has the trace of that run, also
// if the worker writes it: a failure, a panic, a handler that is stuck, and what the handler
// writes itself.
func TestFailuresAreLoggedWithTheirTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var text bytes.Buffer
		logger := slog.New(otelbatch.LogHandler(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})))
		r.config.Log, r.config.MaxAttempts = logger, 2
		r.config.Timeout, r.config.StuckAfter = time.Minute, time.Second
		release := make(chan struct{})
		for _, id := range []string{"fails", "panics", "stuck"} {
			r.enqueue(task{}, batch.ID(r.queue, id))
		}
		r.start(func(ctx context.Context, job *batch.Job[task]) error {
			logger.InfoContext(ctx, "at work", "id", job.ID, "attempt", job.Attempt)
			switch {
			case job.ID == "panics":
				panic("boom")
			case job.ID == "stuck" && job.Attempt == 1:
				<-release
			}
			return errBoom
		})
		time.Sleep(time.Hour)
		r.stop(time.Minute)
		close(release)
		synctest.Wait()
		traces := make(map[string]string) // by job and attempt
		for _, span := range r.ended("process") {
			traces[valueOf(span, "messaging.message.id")+valueOf(span, "batch.job.attempt")] = span.SpanContext().TraceID().String()
		}
		seen := make(map[string]int)
		for _, line := range lines(t, &text) {
			id, ok := line["id"].(string)
			if !ok {
				continue // about the worker
			}
			number, _ := json.Marshal(line["attempt"])
			if line["trace_id"] != traces[id+string(number)] || line["span_id"] == "" {
				t.Errorf("the trace is not that of the run: %v", line)
			}
			seen[line["msg"].(string)]++
		}
		for _, message := range []string{
			"at work", "job started", "job failed, will be retried", "job panicked, will be retried", "job dead-lettered",
			"handler is stuck, its slot is given to another job",
		} {
			if seen[message] == 0 {
				t.Errorf("no line says %q: %v", message, seen)
			}
		}
	})
}

// TestLogHandler is that of the standard library, for a handler that adds nothing and for
// one that does.
func TestLogHandler(t *testing.T) {
	for _, span := range []bool{false, true} {
		var text bytes.Buffer
		var handler slog.Handler = otelbatch.LogHandler(slog.NewJSONHandler(&text, nil))
		if span {
			handler = always{handler}
		}
		err := slogtest.TestHandler(handler, func() []map[string]any { return lines(t, &text) })
		if err != nil {
			t.Errorf("with a span: %t: %v", span, err)
		}
	}
}

// spanContext is one that is valid.
var spanContext = api.NewSpanContext(api.SpanContextConfig{TraceID: api.TraceID{1}, SpanID: api.SpanID{2}})

// always is a handler whose contexts have a span.
type always struct{ slog.Handler }

func (h always) Handle(_ context.Context, r slog.Record) error {
	return h.Handler.Handle(api.ContextWithSpanContext(context.Background(), spanContext), r)
}
func (h always) WithAttrs(attrs []slog.Attr) slog.Handler { return always{h.Handler.WithAttrs(attrs)} }
func (h always) WithGroup(name string) slog.Handler       { return always{h.Handler.WithGroup(name)} }

// TestLogHandlerWithGroups: the IDs are at the top.
func TestLogHandlerWithGroups(t *testing.T) {
	var text bytes.Buffer
	logger := slog.New(otelbatch.LogHandler(slog.NewJSONHandler(&text, nil))).With("a", 1).WithGroup("g").With("b", 2).WithGroup("h")
	ctx := api.ContextWithSpanContext(context.Background(), spanContext)
	logger.InfoContext(ctx, "with", "c", 3)
	logger.Info("without", "c", 3)
	all := lines(t, &text)
	if len(all) != 2 || all[0]["trace_id"] != spanContext.TraceID().String() || all[0]["span_id"] != spanContext.SpanID().String() || all[1]["trace_id"] != nil {
		t.Fatalf("the lines are %v", all)
	}
	for _, line := range all {
		g, _ := line["g"].(map[string]any)
		h, _ := g["h"].(map[string]any)
		if line["a"] != 1.0 || g["b"] != 2.0 || h["c"] != 3.0 || len(h) != 1 {
			t.Errorf("the groups of %v are not as they were", line)
		}
	}
}
