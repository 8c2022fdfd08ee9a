package sqs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/lifecycle"
)

const (
	// maxUnclaimed is how long a job that no Receive was there for waits for the
	// next one: a worker that has room for jobs comes at once, and one that has
	// none must not keep them from others.
	maxUnclaimed = time.Second
	// maxLocalDelay is the longest that a job is kept in the process until it is due:
	// what SQS, which counts whole seconds, did not hold it back for.
	maxLocalDelay = time.Second
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
}

// source is one of the SQS queues that a poller polls.
type source struct {
	// polls are under way; allowed is how many may be: one on an idle queue, more
	// while they bring jobs.
	polls, allowed int
}

// launch begins the polls that there should be: for each source as many as it is
// allowed, and no more than there are waiters. p.mu must be held.
func (p *poller) launch() {
	for i := range p.sources {
		s := &p.sources[i]
		for s.polls < min(s.allowed, len(p.buffer.waiters)) {
			most := p.buffer.waiters[s.polls].max
			if !p.gate.Go(func() { p.poll(i, most) }) {
				return
			}
			s.polls++
		}
	}
}

// poll polls source i for as long as there should be that many polls.
func (p *poller) poll(i, most int) {
	var kept sync.WaitGroup // jobs that are almost due
	defer kept.Wait()
	for again := true; again; {
		got, err := p.fetch(i, most)
		p.mu.Lock()
		s := &p.sources[i]
		switch {
		case err != nil:
			s.allowed = 1
		case len(got.ready) > 0:
			s.allowed = min(s.allowed+1, receivers)
		default:
			s.allowed = max(s.allowed/2, 1)
		}
		for _, d := range got.almostDue {
			kept.Add(1)
			time.AfterFunc(d.left, func() {
				defer kept.Done()
				p.mu.Lock()
				defer p.mu.Unlock()
				p.offer(d.delivery)
			})
		}
		p.offer(got.ready...)
		if err != nil {
			p.buffer.fail(err)
		}
		again = !p.gate.IsShut() && s.polls <= min(s.allowed, len(p.buffer.waiters))
		if again {
			most = p.buffer.waiters[s.polls-1].max
		} else {
			s.polls--
		}
		p.launch()
		p.mu.Unlock()
	}
}

// fetch receives once from source i. What is not to be handed out, it moves to
// where it belongs; what it fails to move comes again after a lease. There may be
// jobs beside an error.
func (p *poller) fetch(i, most int) (got arrivals, err error) {
	q, err := p.base.resolve(p.ctx, p.queue)
	if err != nil {
		return got, p.pollError(err)
	}
	wait := p.base.config.wait
	ctx, cancel := context.WithTimeoutCause(p.ctx, wait+pollGrace, errPollHangs)
	defer cancel()
	receipts, err := p.base.client.receive(ctx, q.sources()[i], most, p.visibility, wait)
	if err != nil {
		if errors.Is(context.Cause(ctx), errPollHangs) {
			err = errPollHangs
		}
		return got, p.pollError(err)
	}
	// The visibility timeout began before the answer was here, by the time that it
	// took, which cannot be known. It is longer than the lease by at least a second,
	// and the lease alone is counted from here.
	until := sinceEpoch() + p.lease
	for _, r := range receipts {
		r.until.Store(int64(until))
		got.sort(r)
	}
	err = p.replace(ctx, q.retry, got.early)
	if failed := p.replace(ctx, q.dead, got.unreadable); err == nil {
		err = failed
	}
	return got, err
}

// arrivals are what a poll brought, by what becomes of it.
type arrivals struct {
	// ready are jobs to hand out.
	ready []*driver.Delivery
	// almostDue are jobs that are kept in the process until they are due.
	almostDue []almostDue
	// early are jobs that are not due for longer, and are sent on.
	early []replacement
	// unreadable is what is no job, and becomes a dead letter.
	unreadable []replacement
}

// almostDue is a job and the time that is left until it is due.
type almostDue struct {
	delivery *driver.Delivery
	left     time.Duration
}

// sort takes in a message whose lease has begun.
func (a *arrivals) sort(r *receipt) {
	if r.err != nil {
		a.unreadable = append(a.unreadable, replacement{old: r, entry: r.unreadable(r.err)})
		return
	}
	left := r.untilDue()
	if left > maxLocalDelay {
		e := r.unchanged()
		e.delaySeconds = delaySecondsOf(left)
		a.early = append(a.early, replacement{old: r, entry: e})
		return
	}
	delivery, err := r.delivery()
	if err != nil {
		a.unreadable = append(a.unreadable, replacement{old: r, entry: r.unreadable(err)})
		return
	}
	if left > 0 {
		// Its lease begins when it is handed out.
		r.until.Add(int64(left))
		a.almostDue = append(a.almostDue, almostDue{delivery, left})
		return
	}
	a.ready = append(a.ready, delivery)
}

// replace moves messages to the SQS queue at url; the error is that of the first
// which it could not move.
func (p *poller) replace(ctx context.Context, url string, replacements []replacement) error {
	for _, err := range p.base.client.replace(ctx, url, replacements) {
		if err != nil {
			return p.pollError(err)
		}
	}
	return nil
}

// pollError is the error of a poll. The call that ended is the poll's own, so that
// no error is that of a context of the caller.
func (p *poller) pollError(err error) error {
	if errors.Is(err, context.Canceled) {
		return closed("receive", p.queue)
	}
	err = fail("receive", p.queue, err)
	p.base.forget(p.queue, err)
	return err
}

// offer gives jobs to the waiters, and keeps the rest a while for the next Receive
// calls. p.mu must be held.
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
		p.giveBack(p.ctx, left)
	})
}

// giveBack makes jobs that no Receive returned available again, each as a new
// message: of the old one SQS has counted a delivery that was none. If that fails
// they come again when their leases end.
func (p *poller) giveBack(ctx context.Context, deliveries []*driver.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	q, err := p.base.resolve(ctx, p.queue)
	if err != nil {
		return
	}
	var work, retry []replacement
	for _, d := range deliveries {
		r := d.Receipt.(*receipt)
		r.settled.Store(true)
		again := replacement{old: r, entry: r.unchanged()}
		if r.url == q.work {
			work = append(work, again)
		} else {
			retry = append(retry, again)
		}
	}
	_ = p.replace(ctx, q.work, work)
	_ = p.replace(ctx, q.retry, retry)
}

// stop begins no more polls, and ends the waiters' wait. Those under way go on.
func (p *poller) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate.Shut()
	close(p.stopped)
	if p.unclaimed != nil && p.unclaimed.Stop() {
		p.gate.Exit()
	}
}
