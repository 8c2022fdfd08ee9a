// Package otelbatch makes OpenTelemetry spans and metrics of what queues and workers do, by
// the semantic conventions for messaging ([SemanticConventions]).
//
//	hook, err := otelbatch.New(d, otelbatch.Config{})
//	emails := batch.NewQueue(d, "emails", batch.WithHooks(hook))
//	w := batch.NewWorker(d, batch.WorkerConfig{
//		Queues: []batch.WorkerQueue{{Name: "emails"}},
//		Hooks:  []batch.Hook{hook},
//		Log:    slog.New(otelbatch.LogHandler(slog.NewJSONHandler(os.Stderr, nil))),
//	})
//
// # Traces
//
// Each enqueue is a span "send emails" of kind producer, a child of what is in its context,
// such as that of an HTTP request. Its context travels in the headers of the job, as
// traceparent. Each run of the job's handler is a span "process emails" of kind consumer. It
// is the root of a trace of its own, and has a link to the enqueue: a retry may come days
// after the request was answered, and a trace that grows for days is of no use. What the
// handler does with its context is in the trace of the run. With Config.ParentFirstRun, the
// first run is in the trace of the enqueue, and has the link too.
//
// A run is an error if it spends an attempt, makes a dead letter or loses its lease. A
// snooze, and a job that is given back because the worker stops, are none.
//
// Each span that was started ends, exactly once: when the handler returns, panics or ends
// its goroutine; when it is left behind, because it did not return after its timeout or the
// end of the worker's stop; when the lease is lost; when the broker is away. Only a process
// that is killed takes its open spans with it.
//
// A job that never started has no span, since it was only prefetched. One that becomes a
// dead letter in that way, because it has expired for example, has a span "dead_letter
// emails" without length.
//
// # Metrics
//
// There are those of the conventions, messaging.client.sent.messages,
// messaging.client.consumed.messages, messaging.client.operation.duration and
// messaging.process.duration, and others whose names begin with "batch.": outcomes, the time
// that jobs wait, lost leases, stuck handlers, faults of the broker. [Hook.ObserveDepth] adds
// the depth of queues. The names and attributes of all spans and metrics are in
// docs/telemetry.md.
//
// # Logs
//
// [LogHandler] adds the IDs of trace and span to what a worker logs about a run, and to what
// its handler logs.
//
// # Cost
//
// See docs/telemetry.md, where it is measured. Spans are sampled by the SDK: of a span that is
// not sampled, no attribute is kept. Give the hook only to those queues and workers that
// you want to see.
package otelbatch
