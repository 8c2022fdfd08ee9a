package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// consumer implements driver.Consumer.
type consumer struct {
	d     *Driver
	n     *names
	lease time.Duration
	next  string // the subject of pull requests
	// done is closed when Close begins.
	done chan struct{}
	// mending counts what goes on in the background: entries that are stored
	// anew. Add only while not closed.
	mending sync.WaitGroup
	// generation counts what may have made the server forget the deliveries of
	// before: the queue was deleted, as far as that was seen.
	generation atomic.Uint64

	mu     sync.Mutex // guards following
	closed bool
	ended  chan struct{} // closed when Close has ended; nil before it began
	lanes  []*lane
	// stash holds what came for pulls that nobody waits for.
	stash []arrival
}

// lane is an inbox for one pull at a time. Jobs come under the subject that they
// were published to, so that of several pulls in one inbox none could be told
// which job is whose.
type lane struct {
	c     *consumer
	inbox string
	sub   *natsgo.Subscription

	// consumer.mu guards following.

	busy bool // a Receive uses it
	pull *pull
}

// pull is one request for jobs, and what came for it.
type pull struct {
	batch int
	sent  time.Time
	done  chan struct{} // closed when nothing more comes

	// consumer.mu guards following.

	got  []*natsgo.Msg
	over bool
	end  error
}

// arrival is a message with the time before which it was not delivered.
type arrival struct {
	msg   *natsgo.Msg
	since time.Time
}

// pullRequest asks for what there is, at most batch, and waits for the first if
// there is nothing: "one-shot" in processNextMsgRequest of server/consumer.go.
type pullRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires"`
	NoWait  bool          `json:"no_wait,omitempty"`
}

// Consume opens a consumer: an inbox for what it pulls. All consumers of a queue
// pull from the one consumer that the server has.
func (d *Driver) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	const op = "consume"
	if err := d.enter(ctx, op, queue); err != nil {
		return nil, err
	}
	defer d.leave()
	if options.Lease < minLease || options.Lease > maxLease {
		return nil, &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: driver.ErrConfig, Fate: driver.FateNotStored,
			Err: fmt.Errorf("the lease is %s, which is not from %s to %s", options.Lease, minLease, maxLease)}
	}
	n := d.names(queue)
	if _, err := d.consumerInfo(ctx, n, consumerJobs); err != nil {
		return nil, fail(op, queue, err)
	}
	c := &consumer{
		d: d, n: n, lease: options.Lease,
		next: d.apiRoot + "CONSUMER.MSG.NEXT." + n.stream + "." + consumerJobs,
		done: make(chan struct{}),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.finished != nil {
		return nil, closed(op, queue)
	}
	d.consumers[c] = struct{}{}
	d.link.addPuller(c)
	return c, nil
}

// Lease is the length that the consumer was opened with.
func (c *consumer) Lease() time.Duration { return c.lease }

// expires is how long a pull waits. The time of a delivery is not known, only
// that it was after its pull was sent: the shorter the pull, the more of the
// lease is certain.
func (c *consumer) expires() time.Duration {
	return min(max(c.lease/4, 250*time.Millisecond), 5*time.Second)
}

// The ends of a pull that are no error.
var (
	errEmpty   = errors.New("no more jobs")
	errCrowded = errors.New("other pulls wait for all the jobs there are")
)

// Receive pulls what there is, or waits for the first.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	const op = "receive"
	if max < 1 || max > batchSize {
		return nil, &driver.Error{Driver: Name, Op: op, Queue: c.n.queue, Kind: driver.ErrConfig, Fate: driver.FateNotStored,
			Err: fmt.Errorf("max is %d, which is not from 1 to %d", max, batchSize)}
	}
	wait := false
	for {
		if err := c.enter(ctx, op); err != nil {
			return nil, err
		}
		deliveries, err := c.receive(ctx, max, wait)
		c.d.leave()
		switch {
		case len(deliveries) > 0:
			return deliveries, nil
		case errors.Is(err, errCrowded):
			// A pull that takes its turn behind the others, for one job.
			wait = true
		case err == nil || errors.Is(err, errEmpty):
			wait = false
		default:
			return nil, fail(op, c.n.queue, c.d.missing(ctx, c.n, err))
		}
	}
}

// enter begins a call of the consumer.
func (c *consumer) enter(ctx context.Context, op string) error {
	if err := c.d.enter(ctx, op, c.n.queue); err != nil {
		return err
	}
	select {
	case <-c.done:
		c.d.leave()
		return closed(op, c.n.queue)
	default:
		return nil
	}
}

// receive is one pull. It returns none and errEmpty when its time is over.
func (c *consumer) receive(ctx context.Context, max int, wait bool) ([]*driver.Delivery, error) {
	if kept := c.takeStash(max); len(kept) > 0 {
		return c.unstash(ctx, kept)
	}
	l, err := c.takeLane()
	if err != nil {
		return nil, err
	}
	p, err := l.ask(max, wait)
	if err != nil {
		c.putLane(l)
		return nil, err
	}
	// The server ends the pull in time; this is for the answer that got lost.
	late := time.NewTimer(c.expires() + 2*time.Second)
	defer late.Stop()
	var why error
	select {
	case <-p.done:
	case <-late.C:
		why = errEmpty
		c.mu.Lock()
		c.finish(l, errEmpty)
		c.mu.Unlock()
	case <-c.done:
		why = closed("receive", c.n.queue)
	case <-ctx.Done():
		why = ctx.Err()
	}
	c.mu.Lock()
	l.busy = false
	if !p.over {
		// The pull goes on, and is the next Receive's. What comes meanwhile is
		// stashed.
		for _, m := range p.got {
			c.stash = append(c.stash, arrival{m, p.sent})
		}
		p.batch -= len(p.got)
		p.got = nil
		c.mu.Unlock()
		return nil, why
	}
	got, end := p.got, p.end
	p.got = nil
	if len(got) > max { // taken over from a call that asked for more
		for _, m := range got[max:] {
			c.stash = append(c.stash, arrival{m, p.sent})
		}
		got = got[:max]
	}
	c.mu.Unlock()
	if len(got) == 0 {
		return nil, end
	}
	arrivals := make([]arrival, len(got))
	for i, m := range got {
		arrivals[i] = arrival{m, p.sent}
	}
	return c.open(ctx, arrivals)
}

// takeLane takes an inbox that no Receive uses, one with a pull under way if
// there is one.
func (c *consumer) takeLane() (*lane, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closed("receive", c.n.queue)
	}
	var free *lane
	for _, l := range c.lanes {
		if l.busy {
			continue
		}
		if free = l; l.pull != nil {
			break
		}
	}
	if free == nil {
		free = &lane{c: c, inbox: c.d.nc.NewInbox()}
		sub, err := c.d.nc.Subscribe(free.inbox, free.arrive)
		if err != nil {
			return nil, err
		}
		// No more comes than was asked for.
		_ = sub.SetPendingLimits(-1, -1)
		free.sub = sub
		c.lanes = append(c.lanes, free)
	}
	free.busy = true
	return free, nil
}

func (c *consumer) putLane(l *lane) {
	c.mu.Lock()
	l.busy = false
	c.mu.Unlock()
}

// ask sends a request for jobs, unless one is under way.
func (l *lane) ask(max int, wait bool) (*pull, error) {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.pull != nil {
		return l.pull, nil
	}
	if !c.d.nc.IsConnected() {
		if c.d.nc.IsClosed() {
			return nil, natsgo.ErrConnectionClosed
		}
		return nil, errDown
	}
	request := pullRequest{Batch: max, Expires: c.expires(), NoWait: true}
	if wait {
		request.Batch, request.NoWait = 1, false
	}
	data, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	p := &pull{batch: request.Batch, sent: time.Now(), done: make(chan struct{})}
	if err := c.d.nc.PublishRequest(c.next, l.inbox, data); err != nil {
		return nil, err
	}
	l.pull = p
	return p, nil
}

// finish ends the pull of a lane. c.mu must be held.
func (c *consumer) finish(l *lane, end error) {
	p := l.pull
	if p == nil {
		return
	}
	l.pull = nil
	p.over, p.end = true, end
	close(p.done)
}

// arrive takes what comes to the inbox: jobs, and the ends of pulls.
func (l *lane) arrive(m *natsgo.Msg) {
	c := l.c
	if !strings.HasPrefix(m.Reply, "$JS.ACK.") {
		if end := pullEnd(m); end != nil {
			c.mu.Lock()
			c.finish(l, end)
			c.mu.Unlock()
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := l.pull
	switch {
	case p == nil:
		// For a pull that was taken for lost: since when it is held is not known.
		c.stash = append(c.stash, arrival{m, time.Time{}})
		return
	case l.busy:
		if p.got = append(p.got, m); len(p.got) < p.batch {
			return
		}
	default:
		c.stash = append(c.stash, arrival{m, p.sent})
		if p.batch--; p.batch > 0 {
			return
		}
	}
	c.finish(l, nil)
}

// pullEnd says why a pull ended, or nil if it has not.
func pullEnd(m *natsgo.Msg) error {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case code == "404":
		return errEmpty
	case code == "408" && text == "Requests Pending":
		return errCrowded
	case code == "408":
		return errEmpty
	case code == "503":
		return &noResponders{m.Subject}
	case code == "409" && text == "Consumer Deleted":
		return errNoQueue
	case code == "409" && (text == "Leadership Change" || text == "Server Shutdown"):
		return fmt.Errorf("%w: %s", errLost, text)
	case code == "100" || code == "":
		return nil
	}
	return &apiError{Description: "the pull was refused: " + code + " " + text}
}

// lost ends all pulls, as their questions or answers may have been lost.
func (c *consumer) lost(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lanes {
		c.finish(l, why)
	}
}

// Close ends the consumer. What arrived and was never returned is given back.
func (c *consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		ended := c.ended
		c.mu.Unlock()
		select {
		case <-ended:
		case <-ctx.Done():
		}
		return nil
	}
	c.closed, c.ended = true, make(chan struct{})
	lanes := c.lanes
	c.mu.Unlock()
	close(c.done)
	defer close(c.ended)

	for _, l := range lanes {
		l.drain(ctx)
	}
	c.lost(errCut)
	c.mu.Lock()
	rest := c.stash
	c.stash = nil
	c.mu.Unlock()
	var err error
	if len(rest) > 0 {
		if err = c.d.enter(ctx, "close", c.n.queue); err == nil {
			c.giveBack(ctx, rest)
			c.d.leave()
		}
	}
	c.mending.Wait()
	c.d.link.removePuller(c)
	c.d.mu.Lock()
	delete(c.d.consumers, c)
	c.d.mu.Unlock()
	return nil
}

// drain ends the inbox. From here on the server delivers nothing more, and what
// it delivered before it learned that comes to arrive.
func (l *lane) drain(ctx context.Context) {
	drained := make(chan struct{})
	l.sub.SetClosedHandler(func(string) { close(drained) })
	if err := l.sub.Drain(); err != nil || !l.c.d.nc.IsConnected() {
		_ = l.sub.Unsubscribe()
		return
	}
	select {
	case <-drained:
	case <-ctx.Done():
		_ = l.sub.Unsubscribe()
	}
}
