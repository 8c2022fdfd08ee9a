package otelbatch

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// names returns those of a queue. A queue's name is the program's, so there are few.
func (h *Hook) names(queue string) *names {
	h.mu.RLock()
	n := h.queues[queue]
	h.mu.RUnlock()
	if n != nil {
		return n
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n = &names{
		create: opCreate + " " + queue, send: opSend + " " + queue, process: opProcess + " " + queue, bury: opDeadLetter + " " + queue,
	}
	h.queues[queue] = n
	return n
}

// The options of spans that are always the same, made once.
var (
	kindProducer = trace.WithSpanKind(trace.SpanKindProducer)
	kindConsumer = trace.WithSpanKind(trace.SpanKindConsumer)
	kindClient   = trace.WithSpanKind(trace.SpanKindClient)
	newRoot      = trace.WithNewRoot()
)

// attributes are those of a span of an operation on a queue, with room for more.
func (h *Hook) attributes(queue, operation string, operationType attribute.KeyValue, more int) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, 4+len(h.config.Attributes)+more)
	all = append(all,
		semconv.MessagingSystemKey.String(h.config.System),
		semconv.MessagingDestinationName(queue),
		semconv.MessagingOperationName(operation),
	)
	if operationType.Valid() {
		all = append(all, operationType)
	}
	return append(all, h.config.Attributes...)
}

// linkTo is the link of a span to that of the enqueue of a job.
func linkTo(creation trace.SpanContext, attributes ...attribute.KeyValue) trace.SpanStartOption {
	return trace.WithLinks(trace.Link{SpanContext: creation, Attributes: attributes})
}

// messageID and kindOf are attributes of a job. Another program may have written both.
func messageID(id string) attribute.KeyValue { return semconv.MessagingMessageID(clean(id, mostWord)) }
func kindOf(kind string) attribute.KeyValue  { return keyKind.String(clean(kind, mostWord)) }

// setError makes the status of a span that of an error.
func setError(span trace.Span, err error) {
	text := ""
	defer func() { span.SetStatus(codes.Error, text) }() // also if a method of the error panics
	if err != nil {
		text = clean(err.Error(), mostText)
	}
}
