package batch

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// through sends jobs by way of the middleware, and returns a result for each of
// them: those whose err is set are not sent.
func (p *producer) through(ctx context.Context, jobs []outgoing, send func(context.Context, []outgoing) []Result) []Result {
	call := &enqueueCall{jobs: jobs, send: send}
	results := make([]Result, len(jobs))
	list := make([]*EnqueueJob, 0, len(jobs))
	for i, job := range jobs {
		if job.err != nil {
			results[i].Err = job.err
			continue
		}
		m := job.message
		one := &EnqueueJob{ID: m.ID, Kind: m.Kind, Queue: p.queue, Args: job.args, Headers: maps.Clone(m.Headers), call: call, index: i}
		if one.Headers == nil {
			one.Headers = make(map[string]string)
		}
		list = append(list, one)
	}
	if len(list) == 0 {
		return results
	}
	got, err := p.callEnqueuer(ctx, slices.Clone(list)) // which it may change in place
	for k, job := range list {
		r := &results[job.index]
		switch {
		case err != nil:
			fate := FateNotStored
			if call.sent.Load() {
				fate = FateUnknown
			}
			r.Err = &EnqueueError{ID: job.ID, Queue: p.queue, Fate: fate, Err: err}
		default:
			*r = got[k]
			r.Err = sound(r.Err, "an enqueue middleware")
		}
	}
	return results
}

// callEnqueuer calls the middleware. It is an error if it panics, or returns another
// number of results.
func (p *producer) callEnqueuer(ctx context.Context, jobs []*EnqueueJob) (results []Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = newPanicError("an enqueue middleware", r)
		}
	}()
	results = p.enqueuer(ctx, jobs)
	if len(results) != len(jobs) {
		return nil, fmt.Errorf("an enqueue middleware returned %d results for %d jobs", len(results), len(jobs))
	}
	return results, nil
}
