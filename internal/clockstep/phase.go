package clockstep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// worker receives for all phases.
type worker struct {
	broker   Broker
	queue    string
	consumer driver.Consumer
	arrived  chan arrival
	ended    chan struct{}
	far      int // how often the job came that is delayed for longer
}

// arrival is a delivery with when it came.
type arrival struct {
	delivery *driver.Delivery
	at       time.Time
	err      error
}

// receive receives until ctx ends.
func (w *worker) receive(ctx context.Context) {
	defer close(w.ended)
	for {
		deliveries, err := w.consumer.Receive(ctx, 1)
		at := time.Now()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.arrived <- arrival{err: err}
			return
		}
		w.arrived <- arrival{delivery: deliveries[0], at: at}
	}
}

// job is one of a phase. Times are by the monotonic clock.
type job struct {
	delay        time.Duration // zero for one that is held
	begin, ended time.Time     // of its enqueue; for one that is held, when it was received
	times        []time.Time   // when it arrived
}

// phase is what happens while the clock is set once.
type phase struct {
	*worker
	name           string
	effect         Effect
	jobs           map[string]*job
	held, vanished *driver.Delivery
	delayed        int       // jobs so far
	stepped        time.Time // when the clock had been set
	leaseLost      bool
}

// named is a phase in which nothing has happened yet.
func (w *worker) named(name string, effect Effect) *phase {
	return &phase{worker: w, name: name, effect: effect, jobs: make(map[string]*job)}
}

// enqueue stores a job.
func (p *phase) enqueue(ctx context.Context, id string, delay time.Duration) error {
	id = p.name + "-" + id
	m := &driver.Message{ID: id, Kind: "step", Body: []byte("{}"), ContentType: "application/json",
		EnqueuedAt: time.UnixMilli(1e12).UTC(), Delay: delay}
	j := &job{delay: delay, begin: time.Now()}
	p.jobs[id] = j
	for _, r := range p.broker.Driver.Enqueue(ctx, p.queue, []*driver.Message{m}) {
		if r.Err != nil {
			return r.Err
		}
	}
	j.ended = time.Now()
	return nil
}

// hold stores a job and waits until it is held.
func (p *phase) hold(ctx context.Context, held **driver.Delivery, id string) error {
	if err := p.enqueue(ctx, id, 0); err != nil {
		return err
	}
	select {
	case got := <-p.arrived:
		if got.err == nil && p.jobs[got.delivery.ID] == nil {
			return fmt.Errorf("%s came where %s was due", got.delivery.ID, id)
		}
		p.note(got)
		*held = got.delivery
		return got.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note takes an arrival into account. A job of the phase before counts there no more.
func (p *phase) note(got arrival) {
	if got.err == nil && got.delivery.ID == "far-job" {
		p.far++
	}
	if got.err == nil && p.jobs[got.delivery.ID] != nil {
		j := p.jobs[got.delivery.ID]
		j.times = append(j.times, got.at)
	}
}

// times of a phase.
const (
	// beat is how often a delayed job is stored, until the clock is set and for afterwards, and how often what is held
	// is extended.
	beat       = 200 * time.Millisecond
	afterwards = time.Second
	// longest is the delay of every second job; that of the others is half of it.
	longest = 2 * time.Second
	// enough is how late something is at least that is late by the step, and patience how late it may be for
	// another reason: the machine is busy.
	enough   = 2 * time.Second
	patience = 20 * time.Second
)

// follow sets the clock, stores delayed jobs meanwhile and for some time after, extends what is held, and settles what
// arrives, until all has arrived or is late.
func (p *phase) follow(ctx context.Context, ahead time.Duration) error {
	set := make(chan error, 1)
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	var storing, settling, waiting <-chan time.Time // until the end of each
	stored, settled := false, false
	for !stored || !p.complete(settled) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-set:
			if err != nil {
				return err
			}
			p.stepped = time.Now()
			storing = time.After(afterwards)
		case <-storing:
			stored = true
			waiting = time.After(max(longest, p.broker.Lease) + p.effect.Slow + patience)
			settling = time.After(max(longest, p.broker.Lease) + enough)
		case <-settling:
			settled = true
		case <-waiting:
			return nil // what is late now is so by the step
		case <-ticker.C:
			p.extend(ctx)
			if stored {
				continue
			}
			if p.delayed++; p.delayed == int(longest/beat/4) {
				go func() { set <- p.broker.Set(ctx, ahead) }()
			}
			if err := p.enqueue(ctx, fmt.Sprint("delayed-", p.delayed), longest/time.Duration(1+p.delayed%2)); err != nil {
				return err
			}
		case got := <-p.arrived:
			if got.err != nil {
				return got.err
			}
			p.note(got)
			p.settle(ctx, got.delivery)
		}
	}
	return nil
}

// extend extends the lease that is kept.
func (p *phase) extend(ctx context.Context) {
	for _, err := range p.consumer.Extend(ctx, []*driver.Delivery{p.held}) {
		p.leaseLost = p.leaseLost || errors.Is(err, driver.ErrLeaseLost)
	}
}

// settle removes a job. One whose lease is lost belongs to somebody else.
func (p *phase) settle(ctx context.Context, d *driver.Delivery) {
	for _, err := range p.consumer.Settle(ctx, []driver.Settlement{{Delivery: d, Outcome: driver.OutcomeDone}}) {
		if errors.Is(err, driver.ErrLeaseLost) && d == p.held {
			p.leaseLost = true
		}
	}
}

// complete tells whether all that should have come has come, the one whose holder vanished twice. What the step makes
// late needs not come, if settled tells that it had the time to.
func (p *phase) complete(settled bool) bool {
	for _, j := range p.jobs {
		late := p.effect.Late && settled && (j.begin.Before(p.stepped) || p.effect.Behind)
		if len(j.times) == 0 && !late {
			return false
		}
	}
	return p.vanished == nil || len(p.jobs[p.vanished.ID].times) > 1 || p.effect.Late && settled
}
