package otelbatch

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
)

// OnCall measures how long the calls take that receive and settle jobs; of those that send,
// OnEnqueueEnd measures what each job took. With Config.CallSpans it makes a span. See
// [batch.CallHook].
func (h *Hook) OnCall(ctx context.Context, c batch.Call) {
	switch c.Op {
	case batch.OpReceive:
		if errors.Is(c.Err, context.Canceled) {
			return // the worker stops
		}
		h.measureCall(ctx, c)
	case batch.OpSettle, batch.OpImport:
		h.measureCall(ctx, c)
	}
	if h.config.CallSpans && hasSpan(c.Op) {
		h.spanOf(ctx, c)
	}
}

// measureCall measures how long a call took.
func (h *Hook) measureCall(ctx context.Context, c batch.Call) {
	key := labels{queue: c.Queue}
	key.operation, key.operationType = operation(c.Op)
	if c.Err != nil {
		key.errorType = errorType(c.Err)
	}
	h.metrics.operation.Record(ctx, c.Duration.Seconds(), h.metrics.labelled(key).record...)
}

// hasSpan tells whether a call has a span. Those that a worker makes all the time, to
// receive jobs and to keep them, have none.
func hasSpan(op batch.Op) bool {
	switch op {
	case batch.OpReceive, batch.OpExtend, batch.OpAbandon, batch.OpConsume, batch.OpStop, batch.OpClose:
		return false
	}
	return true
}

// mostLinks is how many jobs a span of a call has links to: as many as the SDK keeps unless
// it is told otherwise.
const mostLinks = 128

// spanOf makes the span of a call that has returned, with links to the enqueues of its jobs.
func (h *Hook) spanOf(ctx context.Context, c batch.Call) {
	name, operationType := operation(c.Op)
	var kind attribute.KeyValue
	if operationType != "" {
		kind = semconv.MessagingOperationTypeKey.String(operationType)
	}
	attributes := h.attributes(c.Queue, name, kind, 2)
	if c.Headers != nil {
		attributes = append(attributes, semconv.MessagingBatchMessageCount(c.Jobs))
	}
	if c.Err != nil {
		attributes = append(attributes, semconv.ErrorTypeKey.String(errorType(c.Err)))
	}
	end := time.Now()
	options := []trace.SpanStartOption{
		kindClient, trace.WithTimestamp(end.Add(-c.Duration)),
		trace.WithAttributes(attributes...), trace.WithLinks(h.linksOf(c)...),
	}
	if c.Op == batch.OpSettle { // by the worker, and not by what has started it
		options = append(options, newRoot)
	}
	_, span := h.tracer.Start(ctx, name+" "+c.Queue, options...)
	defer span.End(trace.WithTimestamp(end))
	if c.Err != nil {
		setError(span, c.Err)
	}
}

// linksOf are the links to the enqueues of a call's jobs.
func (h *Hook) linksOf(c batch.Call) []trace.Link {
	if c.Headers == nil {
		return nil
	}
	var links []trace.Link
	for id, headers := range c.Headers {
		if _, creation := h.extract(context.Background(), headers); creation.IsValid() {
			links = append(links, trace.Link{SpanContext: creation, Attributes: []attribute.KeyValue{messageID(id)}})
		}
		if len(links) == mostLinks {
			break
		}
	}
	return links
}

// OnFault counts it. See [batch.FaultHook].
func (h *Hook) OnFault(ctx context.Context, e batch.Fault) {
	key := labels{queue: e.Queue, errorType: errorType(e.Err)}
	key.operation, _ = operation(e.Op)
	h.metrics.fault.Add(ctx, 1, h.metrics.labelled(key).add...)
}
