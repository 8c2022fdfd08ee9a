package sqs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
)

const (
	// maxUnclaimed is how long a job that no Receive was there for waits for the
	// next one: a worker that has room for jobs comes at once, and one that has
	// none must not keep them from others.
	maxUnclaimed = time.Second
	// pollGrace is how much longer than its wait a poll may take: a server that does
	// not answer by then will not.
	pollGrace = 10 * time.Second
)

// errPollHangs is why a poll was given up.
var errPollHangs = errors.New("the server does not answer a poll")

// poller polls the SQS queues of a queue for a consumer. A poll runs by itself,
// and Receive takes what it brings, because a long poll that is cut off may have
// been handed a job that is then hidden until its visibility timeout ends.
type poller struct {
	base  *base
	queue string
	// lease is what the consumer was opened with. visibility is the timeout that SQS
	// is asked for, in whole seconds: one more, for the way of the answer, and so
	// that a job that comes a little before its time can be kept here and still have
	// its whole lease.
	lease      time.Duration
	visibility int32

	// ctx ends when polls are cut off, by cutOff.
	ctx     context.Context
	cutOff  context.CancelFunc
	stopped chan struct{}  // closed when no more polls are begun
	gate    lifecycle.Gate // the polls, and what unclaimed does

	mu      sync.Mutex // guards following
	sources []source
	buffer  buffer
	// unclaimed fires when jobs have been ready for too long; nil if it is not set.
	unclaimed *time.Timer
	// giveBackFailed is why a job that no Receive returned could not be given back after
	// stop; nil if there was none.
	giveBackFailed error
}

// launch begins the polls that there should be: for each source as many as are
// of use. p.mu must be held.
func (p *poller) launch() {
	for i := range p.sources {
		s := &p.sources[i]
		for s.polls < s.useful(&p.buffer) {
			most := p.buffer.most(s.polls)
			if !p.gate.Go(func() { p.poll(i, most) }) {
				return
			}
			s.polls++
		}
	}
}

// poll polls source i for as long as there should be that many polls. What it
// brings after stop it gives back.
func (p *poller) poll(i, most int) {
	var kept sync.WaitGroup // jobs that are almost due
	defer kept.Wait()
	for again := true; again; {
		if !p.gather(i, &most) {
			return
		}
		begun := time.Now()
		got, err := p.fetch(i, most)
		p.mu.Lock()
		if p.gate.IsShut() {
			p.mu.Unlock()
			p.giveBack(got.deliveries())
			return
		}
		s := &p.sources[i]
		if err != nil {
			s.allowed = 1
		} else {
			s.brought(haul{begun: begun, n: len(got.ready), most: most, waited: got.waited}, p.base.config.gather)
		}
		for _, d := range got.almostDue {
			kept.Go(func() {
				if lifecycle.Sleep(p.ctx, d.left) == nil { // else it comes again after its lease
					p.bring(d.delivery)
				}
			})
		}
		p.offer(got.ready...)
		if err != nil {
			p.buffer.fail(err)
		}
		again = s.polls <= s.useful(&p.buffer)
		if again {
			most = p.buffer.most(s.polls - 1)
		} else {
			s.polls--
		}
		p.launch()
		p.mu.Unlock()
	}
}

// gather waits until the next poll of source i may begin, and then looks again how many jobs
// are waited for, for most. It returns false if no poll may begin, after stop.
func (p *poller) gather(i int, most *int) bool {
	p.mu.Lock()
	left := time.Until(p.sources[i].notBefore)
	p.mu.Unlock()
	if left <= 0 {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.stopped:
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.buffer.waiters) > 0 {
		*most = p.buffer.waiters[0].max
	}
	return true
}

// fetch receives once from source i, of which the first has the jobs. What is not to be handed out, it moves to
// where it belongs; what it fails to move comes again after a lease. There may be
// jobs beside an error.
func (p *poller) fetch(i, most int) (got arrivals, err error) {
	looking, found := context.WithTimeoutCause(p.ctx, pollGrace, errPollHangs)
	q, err := p.base.resolve(looking, p.queue)
	found()
	if err != nil {
		return got, p.pollError(err)
	}
	wait := p.base.config.wait
	ctx, cancel := context.WithTimeoutCause(p.ctx, wait+pollGrace, errPollHangs)
	defer cancel()
	receipts, damaged := p.base.client.receive(ctx, q.sources()[i], most, p.visibility, wait)
	if err := damaged; err != nil && len(receipts) == 0 {
		if err = p.pollError(err); i == 0 && errors.Is(err, driver.ErrNotFound) {
			p.base.lose(p.queue)
		}
		return got, err
	}
	// The visibility timeout began before the answer was here, by the time that it
	// took, which cannot be known. It is longer than the lease by at least a second,
	// and the lease alone is counted from here.
	until := sinceEpoch() + p.lease
	for _, r := range receipts {
		r.until.Store(int64(until))
		got.sort(r, q.maxMessage)
	}
	for _, err := range p.base.client.replace(ctx, q, got.moved) {
		if err != nil {
			return got, p.pollError(err)
		}
	}
	return got, p.pollError(damaged)
}

// bring offers a job that was almost due, or gives it back after stop.
func (p *poller) bring(d *driver.Delivery) {
	p.mu.Lock()
	stopped := p.gate.IsShut()
	if !stopped {
		p.offer(d)
	}
	p.mu.Unlock()
	if stopped {
		p.giveBack([]*driver.Delivery{d})
	}
}

// pollError is the error of a poll. The call that ended is the poll's own, so that
// no error is that of a context of the caller.
func (p *poller) pollError(err error) error {
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, errCutOff):
		return closed("receive", p.queue)
	case errors.Is(err, context.DeadlineExceeded) && !fault.IsDial(err):
		err = errPollHangs
	}
	err = fail("receive", p.queue, err)
	p.base.forget(p.queue, err)
	return err
}

// offer gives jobs to the waiters, and keeps the rest a while for the next Receive
// calls. It is not called after stop. p.mu must be held.
func (p *poller) offer(deliveries ...*driver.Delivery) {
	p.buffer.put(deliveries...)
	if len(p.buffer.ready) == 0 || p.unclaimed != nil || !p.gate.Enter() {
		return
	}
	p.unclaimed = time.AfterFunc(min(maxUnclaimed, p.lease/3), func() {
		defer p.gate.Exit()
		p.mu.Lock()
		p.unclaimed = nil
		left := p.buffer.takeAll()
		p.mu.Unlock()
		p.giveBack(left)
	})
}

// giveBack makes jobs that no Receive returned available again, each as a new
// message: of the old one SQS has counted a delivery that was none. If that fails
// they come again when their leases end, and SQS's count stays.
func (p *poller) giveBack(deliveries []*driver.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	// When their leases have ended, others may have the jobs.
	ctx, cancel := context.WithTimeout(p.ctx, p.lease)
	defer cancel()
	q, err := p.base.resolve(ctx, p.queue)
	if err != nil {
		p.noteFailed(err)
		return
	}
	goneAt := p.base.goneAt(p.queue)
	var again []replacement
	for _, d := range deliveries {
		r := heldReceipt(d, goneAt)
		if r == nil {
			continue
		}
		r.settled.Store(true)
		to := toWork
		if r.url != q.urls[toWork] {
			to = toRetry
		}
		again = append(again, replacement{old: r, entry: r.again(r.received-1, to, q.maxMessage)})
	}
	for _, err := range p.base.client.replace(ctx, q, again) {
		p.noteFailed(err)
	}
}

// noteFailed keeps the first error of giving jobs back after stop, for takeFailed.
// Before stop nobody waits for it, and of a queue that was deleted nothing is held.
func (p *poller) noteFailed(err error) {
	if err == nil || errors.Is(classify(err).Kind, driver.ErrNotFound) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate.IsShut() && p.giveBackFailed == nil {
		p.giveBackFailed = err
	}
}

// takeFailed returns what noteFailed kept, once.
func (p *poller) takeFailed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.giveBackFailed
	p.giveBackFailed = nil
	return err
}

// stop begins no more polls, ends the waiters' wait, and begins to give back what
// no Receive has taken. The polls under way go on, and give back what they bring.
// The gate then tells when all is done. A second stop does nothing.
func (p *poller) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate.IsShut() {
		return
	}
	if left := p.buffer.takeAll(); len(left) > 0 {
		_ = p.gate.Go(func() { p.giveBack(left) })
	}
	p.gate.Shut()
	close(p.stopped)
	if p.unclaimed != nil && p.unclaimed.Stop() {
		p.gate.Exit()
	}
}
