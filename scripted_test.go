package batch_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// scripted is a memory driver whose calls a test can make fail, as a real broker
// does only at moments that a test cannot arrange. It stands for the broker, so it
// is the only place where a driver is wrapped.
type scripted struct {
	*memory.Driver

	mu        sync.Mutex // guards following
	onEnqueue func(call int, messages []*driver.Message) (results []driver.Result, handled bool)
	// returnsEarly makes Enqueue return when its ctx ends, as real drivers do, while
	// the broker goes on.
	returnsEarly bool
	onDeclare    func(call int) error
	onReceive    func(call int) error
	onReturn     func()
	// asks is how many jobs a Receive asks the broker for, whatever the worker does, and
	// onReceived may change what it returns.
	asks int
	// emptyFirst makes the first Receive return nothing, against the contract.
	emptyFirst bool
	onReceived func(call int, d []*driver.Delivery) ([]*driver.Delivery, error)
	// onReceiveError may change the error that Receive returns.
	onReceiveError func(error) error
	// onDelivery may change what Receive returns.
	onDelivery func(*driver.Delivery)
	// A settlement or extension that is not carried out answers with errs; one
	// that is carried out and whose answer is lost has carry true.
	onSettle func(call int, s []driver.Settlement) (errs []error, carry bool)
	// onSettleEach answers settlements one by one, until mended is set. Those without an
	// error are carried out.
	onSettleEach func(s *driver.Settlement) error
	mended       atomic.Bool
	onExtend     func(call int, d []*driver.Delivery) []error
	onStop       func(call int) error
	onClose      func() error
	// connected makes the lease the connection: there is no clock, and what is given up is
	// available again at once.
	connected bool
	// hungExtends is how many calls of Extend wait for the end of their ctx.
	hungExtends atomic.Int64
	// limit changes the limits.
	limit func(*driver.Limits)
	// consumed are the options of the last consumer.
	consumed driver.ConsumeOptions
	// abandoned are the IDs of the jobs that were given up, in order.
	abandoned []string
	// hangs makes Declare, Settle, Extend, Stop and Close of a consumer wait for the end
	// of their ctx, as with a broker that does not answer.
	hangs atomic.Bool
	// slowSettle is how long the answer to a settlement takes to arrive.
	slowSettle time.Duration

	enqueues, declares, receives, settles, extends, stops int
}

func newScripted() *scripted { return &scripted{Driver: memory.New()} }

func count(mu *sync.Mutex, n *int) int {
	mu.Lock()
	defer mu.Unlock()
	*n++
	return *n
}

// hang waits for the end of ctx if the broker does not answer.
func (d *scripted) hang(ctx context.Context) error {
	if !d.hangs.Load() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (d *scripted) Info() driver.Info {
	info := d.Driver.Info()
	if d.connected {
		info.Limits.MinLease, info.Limits.MaxLease = 0, 0
	}
	if d.limit != nil {
		d.limit(&info.Limits)
	}
	return info
}

func (d *scripted) Declare(ctx context.Context, queue string) error {
	n := count(&d.mu, &d.declares)
	if err := d.hang(ctx); err != nil {
		return err
	}
	if d.onDeclare != nil {
		if err := d.onDeclare(n); err != nil {
			return err
		}
	}
	return d.Driver.Declare(ctx, queue)
}

func (d *scripted) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	if d.onEnqueue != nil {
		if results, handled := d.onEnqueue(count(&d.mu, &d.enqueues), messages); handled {
			return results[0].Err // all or none
		}
	}
	return d.Driver.EnqueueAtomic(ctx, queue, messages)
}

func (d *scripted) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if d.returnsEarly {
		stored := make(chan []driver.Result, 1)
		go func() { stored <- d.enqueue(context.WithoutCancel(ctx), queue, messages) }()
		select {
		case results := <-stored:
			return results
		case <-ctx.Done():
			return sameResult(messages, ctx.Err())
		}
	}
	return d.enqueue(ctx, queue, messages)
}

func (d *scripted) enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	n := count(&d.mu, &d.enqueues)
	if d.onEnqueue != nil {
		if results, handled := d.onEnqueue(n, messages); handled {
			return results
		}
	}
	return d.Driver.Enqueue(ctx, queue, messages)
}

func (d *scripted) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	d.mu.Lock()
	d.consumed = o
	d.mu.Unlock()
	if d.connected {
		o.Lease = time.Hour // it is never extended in earnest
	}
	c, err := d.Driver.Consume(ctx, queue, o)
	if err != nil {
		return nil, err
	}
	return &scriptedConsumer{c, d}, nil
}

type scriptedConsumer struct {
	driver.Consumer
	d *scripted
}

func (c *scriptedConsumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	n := count(&c.d.mu, &c.d.receives)
	if c.d.onReturn != nil {
		defer c.d.onReturn()
	}
	if c.d.onReceive != nil {
		if err := c.d.onReceive(n); err != nil {
			return nil, err
		}
	}
	if c.d.asks > 0 {
		max = c.d.asks
	}
	if c.d.emptyFirst && n == 1 {
		return nil, nil
	}
	deliveries, err := c.Consumer.Receive(ctx, max)
	if c.d.onReceiveError != nil && err != nil {
		err = c.d.onReceiveError(err)
	}
	if c.d.onReceived != nil && err == nil {
		return c.d.onReceived(n, deliveries)
	}
	if c.d.onDelivery != nil {
		for _, d := range deliveries {
			c.d.onDelivery(d)
		}
	}
	return deliveries, err
}

func (c *scriptedConsumer) Settle(ctx context.Context, s []driver.Settlement) []error {
	n := count(&c.d.mu, &c.d.settles)
	if err := c.d.hang(ctx); err != nil {
		return sameError(s, err)
	}
	if c.d.onSettle != nil {
		errs, carry := c.d.onSettle(n, s)
		if carry {
			c.Consumer.Settle(ctx, s)
		}
		if errs != nil {
			return errs
		}
	}
	var errs []error
	if each := c.d.onSettleEach; each != nil && !c.d.mended.Load() {
		errs = c.settleEach(ctx, s, each)
	} else {
		errs = c.Consumer.Settle(ctx, s)
	}
	time.Sleep(c.d.slowSettle) // fake time
	return errs
}

// settleEach settles what each has no error for.
func (c *scriptedConsumer) settleEach(ctx context.Context, s []driver.Settlement, each func(*driver.Settlement) error) []error {
	errs := make([]error, len(s))
	for i := range s {
		if errs[i] = each(&s[i]); errs[i] != nil {
			continue
		}
		if one := c.Consumer.Settle(ctx, s[i:i+1]); one != nil {
			errs[i] = one[0]
		}
	}
	return errs
}

func (c *scriptedConsumer) Extend(ctx context.Context, d []*driver.Delivery) []error {
	n := count(&c.d.mu, &c.d.extends)
	if err := c.d.hang(ctx); err != nil {
		return sameError(d, err)
	}
	if c.d.hungExtends.Add(-1) >= 0 {
		<-ctx.Done()
		return sameError(d, ctx.Err())
	}
	if c.d.onExtend != nil {
		if errs := c.d.onExtend(n, d); errs != nil {
			return errs
		}
	}
	return c.Consumer.Extend(ctx, d)
}

func (c *scriptedConsumer) Abandon(ctx context.Context, d []*driver.Delivery) {
	c.d.mu.Lock()
	for _, one := range d {
		c.d.abandoned = append(c.d.abandoned, one.ID)
	}
	c.d.mu.Unlock()
	_ = c.d.hang(ctx)
	if !c.d.connected {
		c.Consumer.Abandon(ctx, d)
		return
	}
	settlements := make([]driver.Settlement, len(d))
	for i, one := range d {
		settlements[i] = driver.Settlement{Delivery: one, Outcome: driver.OutcomeRelease}
	}
	c.Consumer.Settle(ctx, settlements)
}

func (c *scriptedConsumer) Lease() time.Duration {
	if c.d.connected {
		return 0
	}
	return c.Consumer.Lease()
}

func (c *scriptedConsumer) Stop(ctx context.Context) error {
	n := count(&c.d.mu, &c.d.stops)
	if err := c.d.hang(ctx); err != nil {
		return err
	}
	if c.d.onStop != nil {
		if err := c.d.onStop(n); err != nil {
			return err
		}
	}
	return c.Consumer.Stop(ctx)
}

func (c *scriptedConsumer) Close(ctx context.Context) error {
	err := c.d.hang(ctx)
	if c.d.onClose != nil {
		err = errors.Join(err, c.d.onClose())
	}
	return errors.Join(err, c.Consumer.Close(ctx))
}

// unavailable is what a driver says when it could not connect.
func unavailable(fate driver.Fate) error {
	return &driver.Error{Driver: "scripted", Op: "call", Kind: driver.ErrUnavailable, Fate: fate, Err: errors.New("connection refused")}
}

func sameError[T any](list []T, err error) []error {
	errs := make([]error, len(list))
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// task is the args of most tests.
type task struct{ N int }

func (task) Kind() string { return "task" }

// silent is a log that is switched off.
var silent = slog.New(slog.DiscardHandler)

// rig is a queue and a worker on a driver.
type rig[D driver.Driver] struct {
	queue  *batch.Queue[D]
	worker *batch.Worker
	events *events
}

// newRig makes them; the worker is not started.
func newRig[D driver.Driver](t *testing.T, d D, change func(*batch.WorkerConfig)) *rig[D] {
	t.Helper()
	r := &rig[D]{queue: batch.NewQueue(d, "tasks"), events: &events{ended: make(chan batch.JobEnd, 1000)}}
	config := batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "tasks"}}, Hooks: []batch.Hook{r.events}, Log: silent}
	if change != nil {
		change(&config)
	}
	r.worker = batch.NewWorker(d, config)
	return r
}

func (r *rig[D]) start(t *testing.T) {
	t.Helper()
	if err := r.worker.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (r *rig[D]) stop(t *testing.T) {
	t.Helper()
	if err := r.worker.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (r *rig[D]) enqueue(t *testing.T, args batch.Args, options ...batch.Option[D]) string {
	t.Helper()
	receipt, err := r.queue.Enqueue(t.Context(), args, options...)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.ID
}

// events records what the hooks are told.
type events struct {
	ended chan batch.JobEnd

	mu     sync.Mutex // guards following
	faults []batch.Fault
	lost   int
	states []batch.WorkerState
	// suspects are the redeliveries of those that were isolated.
	suspects []int
}

func (e *events) OnJobEnd(_ context.Context, end batch.JobEnd) { e.ended <- end }

func (e *events) OnFault(_ context.Context, f batch.Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, f)
}

func (e *events) OnLeaseLost(context.Context, batch.LeaseLost) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lost++
}

func (e *events) OnSuspect(_ context.Context, s batch.Suspect) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.suspects = append(e.suspects, s.Redeliveries)
}

func (e *events) OnWorkerState(_ context.Context, s batch.WorkerStatus) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.states = append(e.states, s.State)
}

func (e *events) leasesLost() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lost
}

func (e *events) faultOps() (ops []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.faults {
		ops = append(ops, string(f.Op))
	}
	return ops
}

func depth[D driver.Driver](t *testing.T, q *batch.Queue[D]) batch.Depth {
	t.Helper()
	d, err := q.Depth(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return d
}
