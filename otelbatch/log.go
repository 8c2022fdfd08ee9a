package otelbatch

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// LogHandler adds the attributes trace_id and span_id to the lines that next writes, if
// their context has a span: to all that a worker logs about a run, if the handler is that
// of WorkerConfig.Log and a [Hook] is among its hooks, and to what handlers log with their
// context. They are at the top, also of a logger with groups. For a program that sends its
// log by OpenTelemetry too, go.opentelemetry.io/contrib/bridges/otelslog does the same.
func LogHandler(next slog.Handler) slog.Handler { return &logHandler{next: next} }

// logHandler is what LogHandler makes.
type logHandler struct {
	next slog.Handler
	// root is next as it was before the first group was opened, nil before that, and since
	// is what was done to it from then on.
	root  slog.Handler
	since []func(slog.Handler) slog.Handler
}

// Enabled is that of the next handler.
func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle adds the attributes.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return h.next.Handle(ctx, r)
	}
	traceID, spanID := slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String())
	if h.root == nil {
		r = r.Clone()
		r.AddAttrs(traceID, spanID)
		return h.next.Handle(ctx, r)
	}
	next := h.root.WithAttrs([]slog.Attr{traceID, spanID})
	for _, do := range h.since {
		next = do(next)
	}
	return next.Handle(ctx, r)
}

// WithAttrs is that of the next handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

// WithGroup is that of the next handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	if with.root == nil {
		with.root = h.next
	}
	return with.with(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

// with is the handler after something was done to the next one.
func (h *logHandler) with(do func(slog.Handler) slog.Handler) slog.Handler {
	with := *h
	with.next = do(h.next)
	if with.root != nil {
		with.since = append(h.since[:len(h.since):len(h.since)], do)
	}
	return &with
}
