package batch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/batch-go/batch/driver"
)

// Enqueuer stores jobs, and returns a result for each, in their order. It is what
// [EnqueueMiddleware] wraps.
type Enqueuer func(ctx context.Context, jobs []*EnqueueJob) []Result

// EnqueueMiddleware wraps the enqueues of a queue's handle: one call for each call of
// Enqueue, EnqueueMany and so on, with all of its jobs that are valid so far. The
// first of several is the outermost. It may pass another context on, add to the
// headers of jobs, call next with some of the jobs only and give the others a result
// of its own, or call next a second time. It is not called for a call without jobs.
//
// The hooks of the queue are inside: they see the jobs that are passed to next, with
// the context that comes with them, and not those that a middleware refuses. Enqueue
// returns the error of a middleware as it is, not in an [*EnqueueError].
//
// If it panics, or returns more or fewer results than there are jobs, each job that
// has no result fails with an [*EnqueueError]. Next refuses jobs of several calls.
type EnqueueMiddleware func(next Enqueuer) Enqueuer

// EnqueueJob is a job on its way to the broker.
type EnqueueJob struct {
	// ID, Kind and Queue name the job, its type and its queue.
	ID, Kind, Queue string
	// Args are the job's, not encoded yet; nil for a [Prepared] job. They must not be
	// changed.
	Args Args
	// Headers are the job's, not nil. A middleware may change them.
	Headers map[string]string

	call  *enqueueCall
	index int // in the call
}

// enqueueCall is one call of an application that goes through middleware.
type enqueueCall struct {
	jobs []outgoing
	// send makes the rest of the way for some of the jobs, and returns a result for
	// each.
	send func(ctx context.Context, jobs []outgoing) []Result
	// sent is set once send was called, which may be at the same time for several parts.
	sent atomic.Bool
}

// sendJobs is the innermost Enqueuer.
func sendJobs(ctx context.Context, jobs []*EnqueueJob) []Result {
	if len(jobs) == 0 {
		return nil
	}
	call := jobs[0].call
	if call == nil || slices.ContainsFunc(jobs, func(job *EnqueueJob) bool { return job.call != call }) {
		return refuseMixed(jobs)
	}
	call.sent.Store(true)
	some := make([]outgoing, len(jobs))
	for i, job := range jobs {
		some[i] = call.jobs[job.index]
		// A copy, as an earlier request may still be under way with the message.
		m := *some[i].message
		some[i].message = &m
		some[i].err = setHeaders(&m, maps.Clone(job.Headers))
	}
	return call.send(ctx, some)
}

// refuseMixed is the results of jobs that did not come with the same call: how they are
// to be sent, all or none for example, may be different.
func refuseMixed(jobs []*EnqueueJob) []Result {
	results := make([]Result, len(jobs))
	for i := range results {
		results[i].Err = invalid("jobs", "of several calls", "those that a middleware was called with")
	}
	return results
}

// wrapEnqueuer puts middleware around sendJobs. It is an error if one panics or
// returns nil.
func wrapEnqueuer(middleware []EnqueueMiddleware) (Enqueuer, error) {
	wrapped, failed, err := wrapAll(middleware, Enqueuer(sendJobs), "enqueuer")
	if err != nil {
		return nil, fmt.Errorf("batch: enqueue middleware %d: %w", failed, err)
	}
	return wrapped, nil
}

// outgoing is a job before it is sent: a message without its body, unless args is
// nil.
type outgoing struct {
	message *driver.Message
	args    Args
	ctx     context.Context // what the hooks made for it, set with its body
	err     error           // why it is not sent
	// notApplied are the options that the driver does not support, for the receipt.
	notApplied []string
}
