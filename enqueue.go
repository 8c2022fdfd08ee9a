package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/coalesce"
)

// Receipt is the broker's promise to keep a job.
type Receipt struct {
	// ID names the job.
	ID string
	// Duplicate is true if a job with the same [Unique] key was enqueued before,
	// and this one was therefore not stored; DuplicateOf is that job's ID where
	// the broker tells.
	Duplicate   bool
	DuplicateOf string
}

// Request is a job to be enqueued together with others.
type Request[D Driver] struct {
	Args    Args
	Options []Option[D]
}

// Result is what became of one job of [Queue.EnqueueMany].
type Result struct {
	Receipt
	// Err is as that of [Queue.Enqueue].
	Err error
}

// Enqueue stores a job. It returns without error only when the broker has
// promised to keep it: the queue is declared first, so this holds before any
// worker ever ran.
//
// Concurrent calls share round trips. While the broker cannot be reached,
// Enqueue tries again as long as the job is certainly not stored, until ctx
// ends or the queue's enqueue timeout passes. An error that wraps [ErrInvalid]
// is about the job and nothing was sent; any other is an [*EnqueueError], whose
// Fate says whether the job may be stored all the same.
func (q *Queue[D]) Enqueue(ctx context.Context, args Args, options ...Option[D]) (Receipt, error) {
	m, err := prepare(ctx, q, args, options)
	if err != nil {
		return Receipt{}, err
	}
	if err := q.producer.ready(ctx, m.ID); err != nil {
		return Receipt{}, err
	}
	if q.producer.coalescer.Lead() {
		return q.producer.enqueueNow(ctx, m)
	}
	c := q.producer.call(m)
	q.producer.coalescer.Add(&c.pending, m.Size())
	gaveUp := q.producer.wait(ctx, &c.waiter)
	receipt, err := q.producer.collect(ctx, &c.pending, gaveUp)
	if gaveUp == nil { // else the flush may still use it
		c.pending = pending{}
		q.producer.calls.Put(c)
	}
	return receipt, err
}

// call is one Enqueue under way. Calls are reused, by the queue and not by the
// program, as channels and timers must not leave the bubble of a test that fakes
// time.
type call struct {
	pending pending
	waiter  waiter
}

func (p *producer) call(m *driver.Message) *call {
	c, _ := p.calls.Get().(*call)
	if c == nil {
		c = &call{waiter: newWaiter(p.timeout)}
	} else {
		c.waiter.timer.Reset(p.timeout)
	}
	c.waiter.left.Store(1)
	c.pending.message, c.pending.waiter, c.pending.since = m, &c.waiter, time.Now()
	return c
}

// EnqueueMany stores many jobs, each by itself: it returns a result for each, in
// their order, and an error, a [*ManyError], if any of them failed. It shares
// round trips as Enqueue does, but waits once. Use [EnqueueAtomic] to store all
// or none.
func (q *Queue[D]) EnqueueMany(ctx context.Context, requests []Request[D]) ([]Result, error) {
	results := make([]Result, len(requests))
	sent := make([]pending, 0, len(requests))
	index := make([]int, 0, len(requests))
	w := newWaiter(q.producer.timeout)
	for i, r := range requests {
		m, err := prepare(ctx, q, r.Args, r.Options)
		if err == nil {
			err = q.producer.ready(ctx, m.ID)
		}
		if err != nil {
			results[i].Err = err
			continue
		}
		sent = append(sent, pending{message: m, waiter: &w, since: time.Now()})
		index = append(index, i)
	}
	var gaveUp error
	if len(sent) == 0 {
		w.timer.Stop()
	} else {
		w.left.Store(int64(len(sent)))
		for i := range sent {
			q.producer.coalescer.Add(&sent[i], sent[i].message.Size())
		}
		gaveUp = q.producer.wait(ctx, &w)
	}
	for k := range sent {
		r := &results[index[k]]
		r.Receipt, r.Err = q.producer.collect(ctx, &sent[k], gaveUp)
	}
	var failed ManyError
	for i := range results {
		if err := results[i].Err; err != nil {
			failed.Failed++
			failed.errs = append(failed.errs, err)
		}
	}
	if failed.Failed == 0 {
		return results, nil
	}
	failed.Total = len(requests)
	return results, &failed
}

// producer is the part of a queue's handle that does not depend on its
// capability set.
type producer struct {
	driver      driver.Driver
	info        driver.Info
	queue       string
	codec       Codec
	contentType string
	hooks       hooks
	timeout     time.Duration
	timedOut    error // what an enqueue says that took longer
	declared    atomic.Bool
	coalescer   *coalesce.Coalescer[*pending]
	calls       sync.Pool // of *call
}

func newProducer(d driver.Driver, queue string, options []QueueOption) (*producer, error) {
	p := &producer{driver: d, info: d.Info(), queue: queue, codec: JSON{}, timeout: 30 * time.Second}
	for _, o := range options {
		if o.apply == nil {
			return nil, invalid("queue option", "the zero QueueOption", "made by one of the option functions")
		}
		if err := o.apply(p); err != nil {
			return nil, err
		}
	}
	p.timedOut = fmt.Errorf("no answer within the enqueue timeout of %s: %w", p.timeout, context.DeadlineExceeded)
	p.contentType = p.codec.ContentType()
	if err := checkContentType(p.contentType); err != nil {
		return nil, err
	}
	l := p.info.Limits
	p.coalescer = coalesce.New(coalesce.Limits{
		Items: l.EnqueueBatch, Bytes: l.EnqueueBytes, Flights: l.Publishers, Partial: partialFlights(l),
	}, p.flush)
	return p, nil
}

// fewJobs is up to how many jobs to a request the number of requests is what
// counts, in time and in money: SQS takes ten.
const fewJobs = 100

// partialFlights is how many requests may be under way when one leaves that could
// take more jobs.
func partialFlights(l driver.Limits) int {
	if l.EnqueueBatch > fewJobs {
		return l.Publishers
	}
	return min(l.Publishers, 2)
}

// declare declares the queue if this handle has not done so.
func (p *producer) declare(ctx context.Context) error {
	if p.declared.Load() {
		return nil
	}
	if err := p.driver.Declare(ctx, p.queue); err != nil {
		return err
	}
	p.declared.Store(true)
	return nil
}

// ready declares the queue for an enqueue, trying again while the broker cannot
// be reached. Nothing of the job has been sent when it fails.
func (p *producer) ready(ctx context.Context, id string) error {
	if p.declared.Load() {
		if err := ctx.Err(); err != nil {
			return &EnqueueError{ID: id, Queue: p.queue, Fate: FateNotStored, Err: context.Cause(ctx)}
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var b pause
	for {
		err := p.declare(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrUnavailable) || !b.wait(ctx) {
			return &EnqueueError{ID: id, Queue: p.queue, Fate: FateNotStored, Err: err}
		}
	}
}

// pending is one job on its way to the broker. Its state decides a race: a
// caller that gives up while the job is still queued knows that it is not
// stored; once it was taken into a request, nobody does until the answer.
type pending struct {
	message *driver.Message
	waiter  *waiter // nil if the caller makes the request itself
	since   time.Time

	state  atomic.Int32
	result driver.Result // written before state becomes landed
	// last is the error of the last try that is certain not to have stored the
	// job, written before state becomes queued again.
	last error
}

const (
	queued int32 = iota
	taken
	landed
	abandoned
)

// waiter is signalled when the last of its pending jobs has landed, and gives up
// by its timer.
type waiter struct {
	left   atomic.Int64
	landed chan struct{} // holds one signal
	timer  *time.Timer
}

func newWaiter(timeout time.Duration) waiter {
	return waiter{landed: make(chan struct{}, 1), timer: time.NewTimer(timeout)}
}

func (p *pending) land(r driver.Result) {
	w := p.waiter // p may be reused once the signal is given
	p.result = r
	p.state.Store(landed)
	if w != nil && w.left.Add(-1) == 0 {
		w.landed <- struct{}{}
	}
}

// wait returns nil when all jobs have landed, or why it stopped waiting before.
func (p *producer) wait(ctx context.Context, w *waiter) error {
	defer w.timer.Stop()
	select {
	case <-w.landed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.timer.C:
		return p.timedOut
	}
}

// collect turns the state of a job after wait into the caller's answer.
func (p *producer) collect(ctx context.Context, job *pending, gaveUp error) (Receipt, error) {
	receipt := Receipt{ID: job.message.ID}
	var err error
	switch {
	case job.state.Load() == landed:
		receipt.Duplicate, receipt.DuplicateOf = job.result.Duplicate, job.result.DuplicateOf
		if job.result.Err != nil {
			err = &EnqueueError{ID: job.message.ID, Queue: p.queue, Fate: driver.FateOf(job.result.Err), Err: job.result.Err}
		}
	case job.state.CompareAndSwap(queued, abandoned):
		err = &EnqueueError{ID: job.message.ID, Queue: p.queue, Fate: FateNotStored, Err: because(gaveUp, job.last)}
	case job.state.Load() == landed: // between the two looks
		return p.collect(ctx, job, gaveUp)
	default:
		err = &EnqueueError{ID: job.message.ID, Queue: p.queue, Fate: FateUnknown, Err: gaveUp}
	}
	if len(p.hooks.enqueueEnd) > 0 {
		m := job.message
		e := EnqueueEnd{ID: m.ID, Kind: m.Kind, Queue: p.queue, Size: len(m.Body), Duration: time.Since(job.since), Duplicate: receipt.Duplicate, Err: err}
		for _, h := range p.hooks.enqueueEnd {
			h.OnEnqueueEnd(ctx, e)
		}
	}
	if err != nil {
		return Receipt{}, err
	}
	return receipt, nil
}

// because names the broker's last words beside the end of waiting, if there were
// any: "deadline exceeded" alone says nothing of why.
func because(gaveUp, last error) error {
	if last == nil {
		return gaveUp
	}
	return fmt.Errorf("%w; last try: %w", gaveUp, last)
}

// flush sends one batch.
func (p *producer) flush(batch []*pending) {
	jobs := make([]*pending, 0, len(batch))
	for _, job := range batch {
		if job.state.CompareAndSwap(queued, taken) {
			jobs = append(jobs, job)
		}
	}
	if len(jobs) == 0 {
		return
	}
	ctx, cancel := p.deadline(context.Background())
	defer cancel()
	p.deliver(ctx, jobs)
}

// enqueueNow is the whole of an Enqueue that found nothing under way: the caller
// makes the request itself, with its own context.
func (p *producer) enqueueNow(ctx context.Context, m *driver.Message) (Receipt, error) {
	defer p.coalescer.Land()
	calling, cancel := p.deadline(ctx)
	defer cancel()
	job := &pending{message: m, since: time.Now()}
	job.state.Store(taken)
	p.deliver(calling, []*pending{job})
	return p.collect(ctx, job, nil)
}

// deadline bounds ctx by the enqueue timeout.
func (p *producer) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.timeout, p.timedOut)
}

// deliver lands every job whose fate is known or cannot be; those that are
// certainly not stored for want of a broker are tried again until ctx ends.
func (p *producer) deliver(ctx context.Context, jobs []*pending) {
	var b pause
	for {
		jobs = p.send(ctx, jobs)
		if len(jobs) == 0 {
			return
		}
		again := b.wait(ctx)
		jobs = retake(jobs)
		if !again {
			for _, job := range jobs {
				job.land(driver.Result{Err: because(context.Cause(ctx), job.last)})
			}
			return
		}
		if len(jobs) == 0 {
			return
		}
	}
}

// send makes one request and returns the jobs to be tried again, as queued.
func (p *producer) send(ctx context.Context, jobs []*pending) (again []*pending) {
	messages := make([]*driver.Message, len(jobs))
	for i, job := range jobs {
		messages[i] = job.message
	}
	results := p.driver.Enqueue(ctx, p.queue, messages)
	for i, job := range jobs {
		var r driver.Result
		if results != nil {
			r = results[i]
		}
		if r.Err != nil && driver.FateOf(r.Err) == FateNotStored && errors.Is(r.Err, ErrUnavailable) {
			job.last = r.Err
			job.state.Store(queued)
			again = append(again, job)
			continue
		}
		if r.Err != nil && errors.Is(r.Err, ErrNotFound) {
			p.declared.Store(false) // somebody dropped the queue; the next enqueue declares it
		}
		job.land(r)
	}
	return again
}

// retake drops the jobs whose callers gave up meanwhile.
func retake(jobs []*pending) []*pending {
	kept := jobs[:0]
	for _, job := range jobs {
		if job.state.CompareAndSwap(queued, taken) {
			kept = append(kept, job)
		}
	}
	return kept
}

// enqueueAtomic sends all messages or none, past the coalescer.
func (p *producer) enqueueAtomic(ctx context.Context, messages []*driver.Message, send func(context.Context, string, []*driver.Message) error) ([]Receipt, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	size := 0
	for _, m := range messages {
		size += m.Size()
	}
	if limit := p.info.Limits.EnqueueBytes; size > limit {
		e := invalid("jobs", fmt.Sprintf("of %d bytes together", size), fmt.Sprintf("at most %d bytes in one atomic enqueue on %s", limit, p.info.Driver))
		e.Err = ErrTooLarge
		return nil, e
	}
	first := messages[0].ID
	if err := p.ready(ctx, first); err != nil {
		return nil, err
	}
	jobs := make([]pending, len(messages))
	start := time.Now()
	err := send(ctx, p.queue, messages)
	receipts := make([]Receipt, len(messages))
	for i := range jobs {
		jobs[i] = pending{message: messages[i], since: start, result: driver.Result{Err: err}}
		jobs[i].state.Store(landed)
		receipts[i], _ = p.collect(ctx, &jobs[i], nil)
	}
	if err != nil {
		return nil, &EnqueueError{ID: first, Queue: p.queue, Fate: driver.FateOf(err), Err: err}
	}
	return receipts, nil
}
