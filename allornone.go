package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

// sendAll is one request of a driver for all messages of a call, of which it stores all
// or none.
type sendAll func(ctx context.Context, messages []*driver.Message) ([]driver.Result, error)

// repeat calls a request, and perhaps again after an error that says that nothing was
// stored. It returns the last error.
type repeat func(ctx context.Context, request func() error) error

// once is the repeat that does not.
func once(_ context.Context, request func() error) error { return request() }

// enqueueAll stores all jobs or none, by way of the middleware if there is any.
func (p *producer) enqueueAll(ctx context.Context, jobs []outgoing, r repeat, send sendAll) ([]Receipt, error) {
	if p.enqueuer == nil {
		return p.completeAll(ctx, jobs, r, send)
	}
	results := p.through(ctx, jobs, func(ctx context.Context, some []outgoing) []Result {
		results := make([]Result, len(some))
		receipts, err := p.completeAll(ctx, some, r, send)
		for i := range results {
			results[i].Err = err
			if err == nil {
				results[i].Receipt = receipts[i]
			}
		}
		return results
	})
	receipts := make([]Receipt, len(results))
	stored := slices.ContainsFunc(results, func(r Result) bool { return r.Err == nil })
	for i, r := range results {
		if r.Err != nil && stored { // a middleware has divided the call
			return nil, &EnqueueError{ID: jobs[i].message.ID, Queue: p.queue, Fate: FateUnknown, Err: r.Err}
		}
		if r.Err != nil {
			return nil, r.Err
		}
		receipts[i] = r.Receipt
	}
	return receipts, nil
}

// completeAll completes all jobs, and stores all or none of them.
func (p *producer) completeAll(ctx context.Context, jobs []outgoing, r repeat, send sendAll) ([]Receipt, error) {
	completed := 0
	var failure error
	defer func() {
		if completed == len(jobs) {
			return
		}
		if failure == nil { // the codec or a hook ends this goroutine
			failure = errGoexit()
		}
		for _, job := range jobs[:completed] {
			_ = p.refuse(job, failure)
		}
	}()
	for i := range jobs {
		if err := p.complete(ctx, &jobs[i]); err != nil {
			failure = fmt.Errorf("job %d of %d: %w", i+1, len(jobs), err)
			return nil, failure
		}
		completed++
	}
	return p.requestAll(ctx, jobs, r, send)
}

// requestAll sends all messages, in one request of their own.
func (p *producer) requestAll(ctx context.Context, jobs []outgoing, r repeat, send sendAll) ([]Receipt, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	messages, err := p.messagesOf(jobs)
	if err != nil {
		return nil, err
	}
	ctx, bound := p.sender.deadline(ctx)
	defer bound.end()
	first := messages[0].ID
	if err := p.declaration.ready(ctx); err != nil {
		for _, job := range jobs {
			_ = p.undeclared(job, err)
		}
		return nil, &EnqueueError{ID: first, Queue: p.queue, Fate: FateNotStored, Err: err}
	}
	start := time.Now()
	var answers []driver.Result
	err = r(ctx, func() (err error) {
		begun, number := p.hooks.now(), p.declaration.number()
		answers, err = send(ctx, messages)
		onJobsCall(ctx, &p.hooks, OpEnqueue, p.queue, messages, ofMessage, begun, err)
		if errors.Is(err, ErrNotFound) { // the next call declares it again
			p.declaration.lost(number)
		}
		return err
	})
	receipts := make([]Receipt, len(messages))
	for i, job := range jobs {
		sent := &pending{message: job.message, notApplied: job.notApplied, since: start}
		answer := driver.Result{Err: err}
		if err == nil {
			answer = resultOf(answers, i, len(jobs))
		}
		sent.answer(answer)
		receipts[i], _ = p.collect(job.ctx, sent, nil)
	}
	if err != nil {
		return nil, &EnqueueError{ID: first, Queue: p.queue, Fate: driver.FateOf(err), Err: err}
	}
	return receipts, nil
}

// messagesOf are the messages of jobs, which may be too large together.
func (p *producer) messagesOf(jobs []outgoing) ([]*driver.Message, error) {
	size := 0
	messages := make([]*driver.Message, len(jobs))
	for i, job := range jobs {
		messages[i] = job.message
		size += job.message.Size()
	}
	if limit := p.info.Limits.EnqueueBytes; size > limit {
		e := invalid("jobs", fmt.Sprintf("of %d bytes together", size), fmt.Sprintf("at most %d bytes in one enqueue of all or none on %s", limit, p.info.Driver))
		e.Err = ErrTooLarge
		for _, job := range jobs {
			_ = p.refuse(job, e)
		}
		return nil, e
	}
	return messages, nil
}
