package otelbatch

import (
	"context"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
)

// enqueue is one from its start to its end. It is the context of the rest of it, in which
// the end finds it.
type enqueue struct {
	context.Context
	hook  *Hook
	id    string
	start time.Time
	span  trace.Span // nil if there is none
	ended bool
}

// enqueueKey is the key of the enqueue in its context. Each hook has its own.
type enqueueKey struct{ hook *Hook }

// Value finds the enqueue.
func (e *enqueue) Value(key any) any {
	if key == any(enqueueKey{e.hook}) {
		return e
	}
	return e.Context.Value(key)
}

// enqueueOf finds the enqueue of a job in a context. It is nil if there is none: a codec may
// enqueue another job with the context of the first.
func (h *Hook) enqueueOf(ctx context.Context, id string) *enqueue {
	if e, ok := ctx.Value(enqueueKey{h}).(*enqueue); ok && e.id == id {
		return e
	}
	return nil
}

// OnEnqueueStart starts a span and writes its context into the headers of the job, unless
// the producer has given it one. See [batch.EnqueueStartHook].
func (h *Hook) OnEnqueueStart(ctx context.Context, e *batch.EnqueueStart) context.Context {
	if h.enqueueOf(ctx, e.ID) != nil {
		return nil // this hook was given twice
	}
	next := &enqueue{Context: ctx, hook: h, id: e.ID, start: time.Now()}
	given := h.hasContext(e.Headers)
	if given && h.config.CallSpans {
		return next // the call's span links to the context that was given
	}
	names := h.names(e.Queue)
	name, operation, operationType, kind := names.send, opSend, semconv.MessagingOperationTypeSend, kindProducer
	switch {
	case h.config.CallSpans:
		name, operation, operationType = names.create, opCreate, semconv.MessagingOperationTypeCreate
	case given:
		kind = kindClient
	}
	attributes := append(h.attributes(e.Queue, operation, operationType, 2), messageID(e.ID), kindOf(e.Kind))
	options := [3]trace.SpanStartOption{kind, trace.WithAttributes(attributes...)}
	n := 2
	if given {
		if _, creation := h.extract(ctx, e.Headers); creation.IsValid() {
			options[n] = linkTo(creation)
			n++
		}
	}
	next.Context, next.span = h.tracer.Start(ctx, name, options[:n]...)
	injected := false
	defer func() {
		if !injected { // the propagator panics, which ends the enqueue, and OnEnqueueEnd will not know the span
			next.span.End()
		}
	}()
	if !given {
		h.inject(next.Context, e.Headers)
	}
	injected = true
	return next
}

// OnEnqueueEnd ends the span and measures. See [batch.EnqueueEndHook].
func (h *Hook) OnEnqueueEnd(ctx context.Context, e batch.EnqueueEnd) {
	started := h.enqueueOf(ctx, e.ID)
	if started == nil || started.ended {
		return
	}
	started.ended = true
	if started.span != nil {
		defer started.span.End() // whatever the methods of the error do
	}
	key := labels{operation: opSend, queue: e.Queue, kind: e.Kind}
	if e.Err != nil {
		key.errorType = errorType(e.Err)
	}
	// What was not sent has no duration. A broker in the process may take none either.
	if e.Err == nil || e.Duration > 0 || e.Fate == batch.FateUnknown {
		h.metrics.sent.Add(ctx, 1, h.metrics.labelled(key).add...)
		key.operationType = opSend
		h.metrics.operation.Record(ctx, time.Since(started.start).Seconds(), h.metrics.labelled(key).record...)
	}
	if span := started.span; span != nil && span.IsRecording() {
		if h.config.BodySize {
			span.SetAttributes(semconv.MessagingMessageBodySize(e.Size))
		}
		if e.Duplicate {
			span.SetAttributes(keyDuplicate.Bool(true))
		}
		if e.Err != nil {
			span.SetAttributes(semconv.ErrorTypeKey.String(key.errorType), keyFate.String(e.Fate.String()))
			setError(span, e.Err)
		}
	}
}
