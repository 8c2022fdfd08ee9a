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
// the job may be stored nevertheless.
func (q *Queue[D]) Enqueue(ctx context.Context, args Args, options ...Option[D]) (Receipt, error) {
	m, err := prepare(ctx, q, args, options)
	if err != nil {
		return Receipt{}, err
	}
	return q.producer.enqueue(ctx, m)
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
	return q.enqueueMany(ctx, len(requests), func(i int) (*driver.Message, error) {
		return prepare(ctx, q, requests[i].Args, requests[i].Options)
	})
}

// EnqueueAll is [Queue.EnqueueMany] for many jobs of one type, with the same options
// for each.
func EnqueueAll[D Driver, A Args](ctx context.Context, q *Queue[D], jobs []A, options ...Option[D]) ([]Result, error) {
	return q.enqueueMany(ctx, len(jobs), func(i int) (*driver.Message, error) {
		return prepare(ctx, q, jobs[i], options)
	})
}

// enqueueMany stores the n jobs that prepare makes.
func (q *Queue[D]) enqueueMany(ctx context.Context, n int, prepare func(int) (*driver.Message, error)) ([]Result, error) {
	results := make([]Result, n)
	q.producer.enqueueMany(ctx, results, prepare)
	var failed ManyError
	for i := range results {
		if err := results[i].Err; err != nil {
			failed.add(err)
		}
	}
	if failed.Failed == 0 {
		return results, nil
	}
	failed.Total = n
	return results, &failed
}

// EnqueueAtomic stores all jobs or none. It returns a receipt for each job, in
// their order, or an error: an [*EnqueueError] with FateNotStored says that none
// is stored, one with FateUnknown that either all or none are. If a job is a
// duplicate by [Unique], the error wraps [ErrDuplicate]. The driver's AtomicLimit
// bounds the number of jobs, and its limits bound the sum of their sizes.
func EnqueueAtomic[D AtomicEnqueuer](ctx context.Context, q *Queue[D], requests []Request[D]) ([]Receipt, error) {
	if limit := q.driver.AtomicLimit(); len(requests) > limit {
		return nil, invalid("number of jobs", fmt.Sprint(len(requests)), fmt.Sprintf("at most %d in one atomic enqueue on %s", limit, q.producer.info.Driver))
	}
	messages := make([]*driver.Message, len(requests))
	for i, r := range requests {
		m, err := prepare(ctx, q, r.Args, r.Options)
		if err != nil {
			err = fmt.Errorf("job %d of %d: %w", i+1, len(requests), err)
			for _, prepared := range messages[:i] {
				q.producer.refuse(ctx, prepared, err)
			}
			return nil, err
		}
		messages[i] = m
	}
	return q.producer.enqueueAtomic(ctx, messages, q.driver.EnqueueAtomic)
}
