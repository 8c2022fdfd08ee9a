package otelbatch

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Headers are the trace context of ctx as headers of a job, empty if there is none. Give
// them with [batch.Headers] to a job whose hooks are called elsewhere or later: one that
// Queue.Prepare makes for an outbox, for example. The runs of the job then link to the
// span in ctx.
func (h *Hook) Headers(ctx context.Context) map[string]string {
	headers := make(map[string]string)
	h.inject(ctx, headers)
	return headers
}

// hasContext tells whether a job has a trace context that its producer has given it.
func (h *Hook) hasContext(headers map[string]string) bool {
	return len(headers) > 0 && slices.ContainsFunc(h.fields, func(name string) bool { _, ok := headers[name]; return ok })
}

// extract returns ctx with what the headers of a job say of its enqueue, and without a
// span that is in it, and the span of the enqueue, which is not valid if there is none.
func (h *Hook) extract(ctx context.Context, headers map[string]string) (context.Context, trace.SpanContext) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	}
	if len(headers) == 0 {
		return ctx, trace.SpanContext{}
	}
	ctx = h.config.Propagator.Extract(ctx, propagation.MapCarrier(headers))
	return ctx, trace.SpanContextFromContext(ctx)
}

// inject writes the trace context of ctx into the headers of a job. A job is never refused
// because of it: if there is no room for all, there is none of the baggage, and if that
// does not help, nothing is written.
func (h *Hook) inject(ctx context.Context, headers map[string]string) {
	c := &carrier{headers: headers}
	c.added = c.first[:0]
	h.config.Propagator.Inject(ctx, c)
	if h.fits(headers) {
		return
	}
	c.remove(func(name string) bool { return !slices.Contains(h.fields, name) })
	if !h.fits(headers) {
		c.remove(func(string) bool { return true })
	}
}

// fits tells whether a job can have these headers.
func (h *Hook) fits(headers map[string]string) bool {
	size := 0
	for name, value := range headers {
		size += len(name) + len(value)
	}
	return len(headers) <= mostHeaders && size <= h.maxHeaders
}

// carrier is the headers of a job as a propagator writes them. What a job has already
// stays as it is.
type carrier struct {
	headers map[string]string
	added   []string
	first   [3]string // room for the names of most propagators
}

// Get and Keys are of the interface, and for reading.
func (c *carrier) Get(key string) string { return c.headers[key] }

// Keys are the names of the headers.
func (c *carrier) Keys() []string { return propagation.MapCarrier(c.headers).Keys() }

// Set adds a header.
func (c *carrier) Set(key, value string) {
	if _, ok := c.headers[key]; ok || !isHeader(key) {
		return
	}
	c.headers[key] = value
	c.added = append(c.added, key)
}

// remove takes back what was added.
func (c *carrier) remove(which func(name string) bool) {
	for _, name := range c.added {
		if which(name) {
			delete(c.headers, name)
		}
	}
}
