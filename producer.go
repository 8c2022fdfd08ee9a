package batch

import (
	"context"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// producer is the part of a queue's handle that does not depend on its capability
// set. It declares the queue, passes jobs to the sender and gives callers their
// answers.
type producer struct {
	producerConfig
	driver      driver.Driver // tells the hooks of its calls, and has no capability
	info        driver.Info
	queue       string
	contentType string
	declaration *declaration
	enqueuer    Enqueuer // nil without middleware
	sender      *sender
	calls       sync.Pool // of *call
	lone        sync.Pool // of *pending that share no request
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
	err := checkInfo(&p.info)
	if err != nil {
		return nil, err
	}
	p.driver = watch(d, &p.hooks)
	p.declaration = &declaration{driver: p.driver, queue: queue}
	if p.contentType, err = contentTypeOf(p.codec); err != nil {
		return nil, err
	}
	if len(p.middleware) > 0 {
		if p.enqueuer, err = wrapEnqueuer(p.middleware); err != nil {
			return nil, err
		}
	}
	p.sender = newSender(p.driver, p.info.Limits, p.declaration, p.timeout)
	return p, nil
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

// enqueue sends one job: at once if nothing is under way, and otherwise
// together with those of other calls.
func (p *producer) enqueue(o *outgoing) (Receipt, error) {
	ctx := o.ctx
	if p.declaration.number() == 0 {
		all, bound := p.sender.deadline(ctx) // for the whole call
		defer bound.end()
		ctx = all
	}
	if err := p.declaration.ready(ctx); err != nil {
		return Receipt{}, p.undeclared(*o, err)
	}
	if p.sender.lead() {
		return p.enqueueNow(ctx, o)
	}
	c := p.call(ctx, o)
	p.sender.add(&c.pending)
	return p.await(ctx, ctx, c)
}

// await waits for the answer of a call until within ends, and ends the call.
func (p *producer) await(ctx, within context.Context, c *call) (Receipt, error) {
	gaveUp := p.sender.wait(within, &c.latch)
	receipt, err := p.collect(ctx, &c.pending, gaveUp)
	if gaveUp == nil { // otherwise the sender may still use it
		c.pending = pending{}
		p.calls.Put(c)
	}
	return receipt, err
}

// enqueueNow is enqueue when nothing is under way: the caller makes the request
// itself. A job that has to wait for a transaction goes to the others that do.
func (p *producer) enqueueNow(ctx context.Context, o *outgoing) (Receipt, error) {
	job, _ := p.lone.Get().(*pending)
	if job == nil {
		job = new(pending)
	}
	job.message, job.notApplied, job.since = o.message, o.notApplied, p.now()
	within, bound := p.sender.deadline(ctx)
	defer bound.end()
	if p.sender.sendNow(within, job) {
		c := p.call(within, o)
		c.pending.last, c.pending.since = job.last, job.since
		p.sender.room.add([]*pending{&c.pending})
		return p.await(ctx, within, c)
	}
	receipt, err := p.collect(ctx, job, nil)
	if err == nil { // otherwise a driver that gave up may still look at it
		*job = pending{}
		p.lone.Put(job)
	}
	return receipt, err
}

// now is the time for the hooks that want to know what an enqueue takes, zero without one.
func (p *producer) now() time.Time {
	if len(p.hooks.enqueueEnd) == 0 {
		return time.Time{}
	}
	return time.Now()
}

// call is one enqueue that shares its request. Calls are reused within a queue and
// not across queues, because channels and timers must not escape from a test that
// fakes time.
type call struct {
	pending pending
	latch   latch
}

// call makes a call for one job, and starts its timeout.
func (p *producer) call(ctx context.Context, o *outgoing) *call {
	c, _ := p.calls.Get().(*call)
	if c == nil {
		c = new(call)
	}
	p.sender.start(ctx, &c.latch)
	c.latch.left.Store(1)
	c.pending.message, c.pending.notApplied = o.message, o.notApplied
	c.pending.latch, c.pending.since = &c.latch, p.now()
	return c
}

// enqueueMany sends the jobs that prepare completes, one for each result, and waits
// once for all of them.
func (p *producer) enqueueMany(ctx context.Context, results []Result, prepare func(int) (outgoing, error)) {
	jobs := make([]pending, 0, len(results))
	sent := make([]numbered, 0, len(results))
	var l latch
	p.sender.start(ctx, &l)
	declaring, bound := p.sender.deadline(ctx) // one for all of the jobs
	defer bound.end()
	declared := sync.OnceValue(func() error { return p.declaration.ready(declaring) })
	orderly := false
	defer func() {
		if orderly {
			return
		}
		for k := range jobs { // a codec or a hook ends this goroutine
			_ = p.refuse(outgoing{message: jobs[k].message, ctx: sent[k].ctx}, errGoexit())
		}
	}()
	for i := range results {
		o, err := prepare(i)
		if err == nil {
			if failed := declared(); failed != nil {
				err = p.undeclared(o, failed)
			}
		}
		if err != nil {
			results[i].Err = err
			continue
		}
		jobs = append(jobs, pending{message: o.message, notApplied: o.notApplied, latch: &l, since: p.now()})
		sent = append(sent, numbered{i, o.ctx})
	}
	orderly = true
	if len(jobs) == 0 {
		l.stop()
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
	return newReceipt(m, job.notApplied, r), nil
}
