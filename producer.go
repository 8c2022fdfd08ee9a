package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// producer is the part of a queue's handle that does not depend on its capability
// set. It declares the queue, passes jobs to the sender and gives callers their
// answers.
type producer struct {
	producerConfig
	driver      driver.Driver
	info        driver.Info
	queue       string
	contentType string
	declared    atomic.Bool
	enqueuer    Enqueuer // nil without middleware
	sender      *sender
	calls       sync.Pool // of *call
}

// producerConfig is what the options of a queue set.
type producerConfig struct {
	codec      Codec
	hooks      hooks
	middleware []EnqueueMiddleware
	timeout    time.Duration
}

// newProducer makes the producer for one queue.
func newProducer(d driver.Driver, queue string, config producerConfig) (*producer, error) {
	p := &producer{producerConfig: config, info: d.Info(), queue: queue}
	p.driver = watch(d, &p.hooks)
	p.contentType = p.codec.ContentType()
	if err := checkContentType(p.contentType); err != nil {
		return nil, err
	}
	if len(p.middleware) > 0 {
		var err error
		if p.enqueuer, err = wrapEnqueuer(p.middleware); err != nil {
			return nil, err
		}
	}
	p.sender = newSender(p.driver, p.info.Limits, queue, p.timeout, p.undeclare)
	return p, nil
}

// declare declares the queue, unless this handle has done so before.
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

// undeclare makes the next use declare the queue again, because it was dropped.
func (p *producer) undeclare() { p.declared.Store(false) }

// ready declares the queue for an enqueue, and tries again while the broker cannot
// be reached, until ctx ends. Nothing has been sent when it fails.
func (p *producer) ready(ctx context.Context) error {
	if p.declared.Load() {
		return context.Cause(ctx)
	}
	var b backoff
	for {
		err := p.declare(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrUnavailable) || !b.wait(ctx) {
			return err
		}
	}
}

// refuse ends the enqueue of a message that was not sent, and returns err.
func (p *producer) refuse(job outgoing, err error) error {
	m := job.message
	p.hooks.onEnqueueEnd(job.ctx, EnqueueEnd{ID: m.ID, Kind: m.Kind, Queue: p.queue, Size: len(m.Body), Err: err, Fate: FateNotStored})
	return err
}

// undeclared is refuse for a message whose queue could not be declared because of
// err.
func (p *producer) undeclared(job outgoing, err error) error {
	return p.refuse(job, &EnqueueError{ID: job.message.ID, Queue: p.queue, Fate: FateNotStored, Err: err})
}

// enqueue sends one message: at once if nothing is under way, and otherwise
// together with those of other calls.
func (p *producer) enqueue(job outgoing) (Receipt, error) {
	ctx, m := job.ctx, job.message
	if !p.declared.Load() {
		bounded, cancel := p.sender.deadline(ctx) // for the whole call
		defer cancel()
		ctx = bounded
	}
	if err := p.ready(ctx); err != nil {
		return Receipt{}, p.undeclared(job, err)
	}
	if p.sender.lead() {
		return p.enqueueNow(ctx, m)
	}
	c := p.call(m)
	p.sender.add(&c.pending)
	gaveUp := p.sender.wait(ctx, &c.latch)
	receipt, err := p.collect(ctx, &c.pending, gaveUp)
	if gaveUp == nil { // otherwise the sender may still use it
		c.pending = pending{}
		p.calls.Put(c)
	}
	return receipt, err
}

// enqueueNow is enqueue when nothing is under way: the caller makes the request
// itself.
func (p *producer) enqueueNow(ctx context.Context, m *driver.Message) (Receipt, error) {
	defer p.sender.land()
	job := &pending{message: m, since: time.Now()}
	p.sender.sendNow(ctx, job)
	return p.collect(ctx, job, nil)
}

// call is one enqueue that shares its request. Calls are reused within a queue and
// not across queues, because channels and timers must not escape from a test that
// fakes time.
type call struct {
	pending pending
	latch   latch
}

// call makes a call for one message, and starts its timeout.
func (p *producer) call(m *driver.Message) *call {
	c, _ := p.calls.Get().(*call)
	if c == nil {
		c = &call{latch: newLatch(p.timeout)}
	} else {
		c.latch.timer.Reset(p.timeout)
	}
	c.latch.left.Store(1)
	c.pending.message, c.pending.latch, c.pending.since = m, &c.latch, time.Now()
	return c
}

// enqueueMany sends the messages that prepare makes, one for each result, and waits
// once for all of them.
func (p *producer) enqueueMany(ctx context.Context, results []Result, prepare func(int) (outgoing, error)) {
	jobs := make([]pending, 0, len(results))
	sent := make([]numbered, 0, len(results))
	l := newLatch(p.timeout)
	declaring, cancel := p.sender.deadline(ctx) // one bound for all of the jobs
	defer cancel()
	declared := sync.OnceValue(func() error { return p.ready(declaring) })
	for i := range results {
		job, err := prepare(i)
		if err == nil {
			if failed := declared(); failed != nil {
				err = p.undeclared(job, failed)
			}
		}
		if err != nil {
			results[i].Err = err
			continue
		}
		jobs = append(jobs, pending{message: job.message, latch: &l, since: time.Now()})
		sent = append(sent, numbered{i, job.ctx})
	}
	if len(jobs) == 0 {
		l.timer.Stop()
		return
	}
	l.left.Store(int64(len(jobs)))
	for i := range jobs {
		p.sender.add(&jobs[i])
	}
	gaveUp := p.sender.wait(ctx, &l)
	for k := range jobs {
		r := &results[sent[k].number]
		r.Receipt, r.Err = p.collect(sent[k].ctx, &jobs[k], gaveUp)
	}
}

// numbered is a job of a call with many, by its place among them, with the context
// that the hooks made for it.
type numbered struct {
	number int
	ctx    context.Context
}

// enqueueAtomic sends all messages or none, in one request of their own.
func (p *producer) enqueueAtomic(ctx context.Context, jobs []outgoing, send func(context.Context, string, []*driver.Message) error) ([]Receipt, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	size := 0
	messages := make([]*driver.Message, len(jobs))
	for i, job := range jobs {
		messages[i] = job.message
		size += job.message.Size()
	}
	if limit := p.info.Limits.EnqueueBytes; size > limit {
		e := invalid("jobs", fmt.Sprintf("of %d bytes together", size), fmt.Sprintf("at most %d bytes in one atomic enqueue on %s", limit, p.info.Driver))
		e.Err = ErrTooLarge
		for _, job := range jobs {
			_ = p.refuse(job, e)
		}
		return nil, e
	}
	ctx, cancel := p.sender.deadline(ctx)
	defer cancel()
	first := messages[0].ID
	if err := p.ready(ctx); err != nil {
		for _, job := range jobs {
			_ = p.undeclared(job, err)
		}
		return nil, &EnqueueError{ID: first, Queue: p.queue, Fate: FateNotStored, Err: err}
	}
	start := time.Now()
	err := p.sender.sendAtomic(ctx, func() error {
		begun := p.hooks.now()
		err := send(ctx, p.queue, messages)
		p.hooks.onCall(ctx, OpEnqueue, p.queue, len(messages), begun, err)
		return err
	})
	receipts := make([]Receipt, len(messages))
	for i, job := range jobs {
		sent := &pending{message: job.message, since: start}
		sent.answer(driver.Result{Err: err})
		receipts[i], _ = p.collect(job.ctx, sent, nil)
	}
	if err != nil {
		return nil, &EnqueueError{ID: first, Queue: p.queue, Fate: driver.FateOf(err), Err: err}
	}
	return receipts, nil
}

// collect ends an enqueue: it turns what became of the job into the caller's
// answer, and calls the hooks.
func (p *producer) collect(ctx context.Context, job *pending, gaveUp error) (Receipt, error) {
	m := job.message
	r, fate := job.resolve(gaveUp)
	var err error
	if r.Err != nil {
		err = &EnqueueError{ID: m.ID, Queue: p.queue, Fate: fate, Err: r.Err}
	}
	if len(p.hooks.enqueueEnd) > 0 {
		p.hooks.onEnqueueEnd(ctx, EnqueueEnd{
			ID: m.ID, Kind: m.Kind, Queue: p.queue, Size: len(m.Body),
			Duration: time.Since(job.since), Duplicate: r.Duplicate, Err: err, Fate: fate,
		})
	}
	if err != nil {
		return Receipt{}, err
	}
	return newReceipt(m, r), nil
}
