package batch

import (
	"context"
	"fmt"

	"github.com/batch-go/batch/driver"
)

// Enqueue stores a job. It returns without error only when the broker has
// promised to keep the job. It declares the queue first, so this also holds
// before any worker has ever run.
//
// Concurrent calls share round trips. While the broker cannot be reached and the
// job is certainly not stored, Enqueue tries again, until ctx ends or the queue's
// enqueue timeout passes. An error that wraps [ErrInvalid] is about the job, and
// nothing was sent. Any other error is an [*EnqueueError], whose Fate says whether
// the job may be stored nevertheless, or that of an [EnqueueMiddleware].
func (q *Queue[D]) Enqueue(ctx context.Context, args Args, options ...Option[D]) (Receipt, error) {
	p := q.producer
	o := q.draft(args, options)
	if p.enqueuer != nil {
		r := p.through(ctx, []outgoing{o}, p.sendMany)[0]
		return r.Receipt, r.Err
	}
	if err := p.complete(ctx, &o); err != nil {
		return Receipt{}, err
	}
	return p.enqueue(&o)
}

// Request is a job to enqueue together with others.
type Request[D Driver] struct {
	Args    Args
	Options []Option[D]
}

// EnqueueMany stores many jobs, each independently of the others. It returns a
// result for each, in their order, and a [*ManyError] if any of them failed. It
// shares round trips as Enqueue does, but waits only once. To store all or none,
// use [EnqueueAtomic].
func (q *Queue[D]) EnqueueMany(ctx context.Context, requests []Request[D]) ([]Result, error) {
	return q.producer.enqueueEach(ctx, len(requests), func(i int) outgoing {
		return q.draft(requests[i].Args, requests[i].Options)
	})
}

// EnqueueAll is [Queue.EnqueueMany] for many jobs of one type, with the same options
// for each.
func EnqueueAll[D Driver, A Args](ctx context.Context, q *Queue[D], jobs []A, options ...Option[D]) ([]Result, error) {
	return q.producer.enqueueEach(ctx, len(jobs), func(i int) outgoing { return q.draft(jobs[i], options) })
}

// enqueueEach stores the n jobs that draft makes, each independently of the others.
func (p *producer) enqueueEach(ctx context.Context, n int, draft func(int) outgoing) ([]Result, error) {
	var results []Result
	if p.enqueuer != nil {
		jobs := make([]outgoing, n)
		for i := range jobs {
			jobs[i] = draft(i)
		}
		results = p.through(ctx, jobs, p.sendMany)
	} else {
		results = make([]Result, n)
		p.enqueueMany(ctx, results, func(i int) (outgoing, error) {
			o := draft(i)
			err := p.complete(ctx, &o)
			return o, err
		})
	}
	return results, manyError(results)
}

// EnqueueAtomic stores all jobs or none. It returns a receipt for each job, in
// their order, or an error: an [*EnqueueError] with FateNotStored says that none
// is stored, one with FateUnknown that either all or none are, unless a middleware of
// the queue has divided the call. If a job is a duplicate by [Unique], the error wraps
// [ErrDuplicate]. The driver's AtomicLimit bounds the number of jobs, and its limits
// bound the sum of their sizes. As with [Queue.Enqueue], it tries again while the broker
// cannot be reached and no job is stored, until ctx ends or the enqueue timeout passes.
func EnqueueAtomic[D AtomicEnqueuer](ctx context.Context, q *Queue[D], requests []Request[D]) ([]Receipt, error) {
	if limit := q.driver.AtomicLimit(); len(requests) > limit {
		return nil, invalid("number of jobs", fmt.Sprint(len(requests)), fmt.Sprintf("at most %d in one atomic enqueue on %s", limit, q.producer.info.Driver))
	}
	p := q.producer
	jobs := make([]outgoing, len(requests))
	for i, r := range requests {
		jobs[i] = q.draft(r.Args, r.Options)
		if err := jobs[i].err; err != nil {
			return nil, fmt.Errorf("job %d of %d: %w", i+1, len(requests), err)
		}
	}
	return p.enqueueAll(ctx, jobs, p.sender.sendAtomic, func(ctx context.Context, messages []*driver.Message) ([]driver.Result, error) {
		return nil, q.driver.EnqueueAtomic(ctx, q.name, messages)
	})
}

// sendMany completes and sends jobs, each independently of the others.
func (p *producer) sendMany(ctx context.Context, jobs []outgoing) []Result {
	results := make([]Result, len(jobs))
	p.enqueueMany(ctx, results, func(i int) (outgoing, error) {
		err := p.complete(ctx, &jobs[i])
		return jobs[i], err
	})
	return results
}
