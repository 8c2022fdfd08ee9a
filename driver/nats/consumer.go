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
	alone bool   // one server has the queue, and no other can get it
	// done is closed when Close begins.
	done chan struct{}
	// mending counts what goes on in the background: entries that are stored
	// anew, and Receive calls. Add only while not closed.
	mending sync.WaitGroup
	// generation counts what may have made the server forget the deliveries of
	// before: the queue was deleted, as far as that was seen.
	generation atomic.Uint64

	mu     sync.Mutex // guards following
	closed bool
	ended  chan struct{} // closed when Close has ended; nil before it began
	lanes  []*lane
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
	rest []*natsgo.Msg // what came when the consumer was closed
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
	info, err := d.consumerInfo(ctx, n, consumerJobs)
	if err != nil {
		return nil, fail(op, queue, err)
	}
	c := &consumer{
		d: d, n: n, lease: options.Lease,
		next: d.nextSubject(n), alone: info.Cluster == nil,
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

// nextSubject is where pulls go.
func (d *Driver) nextSubject(n *names) string {
	return d.apiRoot + "CONSUMER.MSG.NEXT." + n.stream + "." + consumerJobs
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

func isNoError(err error) bool { return errors.Is(err, errEmpty) || errors.Is(err, errCrowded) }

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
		if err != nil && !isNoError(err) {
			err = c.d.missing(ctx, c.n, err)
		}
		if errors.Is(err, errNoQueue) {
			c.generation.Add(1)
		}
		c.leave()
		switch {
		case len(deliveries) > 0:
			return deliveries, nil
		case errors.Is(err, errCrowded):
			// A pull that takes its turn behind the others, for one job.
			wait = true
		case err == nil || isNoError(err):
			wait = false
		default:
			return nil, fail(op, c.n.queue, err)
		}
	}
}

// enter begins a call of the consumer.
func (c *consumer) enter(ctx context.Context, op string) error {
	if err := c.d.enter(ctx, op, c.n.queue); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.d.leave()
		return closed(op, c.n.queue)
	}
	c.mending.Add(1)
	return nil
}

func (c *consumer) leave() {
	c.mending.Done()
	c.d.leave()
}

// receive is one pull. It returns none and errEmpty when its time is over.
func (c *consumer) receive(ctx context.Context, max int, wait bool) ([]*driver.Delivery, error) {
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
	case <-c.done:
		why = closed("receive", c.n.queue)
	case <-ctx.Done():
		why = ctx.Err()
	}
	c.mu.Lock()
	l.busy = false
	if !p.over {
		// The pull goes on; the next Receive takes it over.
		c.mend(p.got)
		p.batch -= len(p.got)
		p.got = nil
		c.mu.Unlock()
		return nil, why
	}
	got := p.got
	if len(got) > max { // it was taken over from a call that asked for more
		c.mend(got[max:])
		got = got[:max]
	}
	c.mu.Unlock()
	if len(got) == 0 {
		return nil, p.end
	}
	return c.open(ctx, got, p.sent), nil
}

// takeLane takes an inbox that no Receive uses, one with a pull under way if
// there is one.
func (c *consumer) takeLane() (*lane, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.HasPrefix(m.Reply, "$JS.ACK.") {
		if end := pullEnd(m); end != nil {
			c.finish(l, end)
		}
		return
	}
	p := l.pull
	switch {
	case c.closed && !l.busy:
		l.rest = append(l.rest, m)
	case p == nil:
		// For a pull that was taken for lost.
		c.mend([]*natsgo.Msg{m})
	case l.busy:
		if p.got = append(p.got, m); len(p.got) == p.batch {
			c.finish(l, nil)
		}
	default:
		// Nobody waits for it: it is not kept here until somebody asks again, but
		// given back. The pull itself cannot be taken back. If its inbox went away,
		// the server would drop it, with what it is about to deliver to it.
		c.mend([]*natsgo.Msg{m})
		if p.batch--; p.batch == 0 {
			c.finish(l, nil)
		}
	}
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
	c.mu.Unlock()
	close(c.done)
	defer close(c.ended)

	// The calls under way end now, and what is mended soon.
	mended := make(chan struct{})
	go func() {
		c.mending.Wait()
		close(mended)
	}()
	select {
	case <-mended:
		c.leaveLanes(ctx)
	case <-ctx.Done():
		c.lost(errCut)
		for _, l := range c.lanes {
			_ = l.sub.Unsubscribe()
		}
	}
	c.d.link.removePuller(c)
	c.d.mu.Lock()
	delete(c.d.consumers, c)
	c.d.mu.Unlock()
	return nil
}

// leaveLanes ends the inboxes, and gives back what was on its way to them.
func (c *consumer) leaveLanes(ctx context.Context) {
	var drained sync.WaitGroup
	for _, l := range c.lanes {
		drained.Go(func() { l.drain(ctx) })
	}
	drained.Wait()
	c.lost(errCut)
	c.mu.Lock()
	var rest []*natsgo.Msg
	for _, l := range c.lanes {
		rest = append(rest, l.rest...)
	}
	c.mu.Unlock()
	if len(rest) > 0 && c.d.enter(ctx, "close", c.n.queue) == nil {
		c.replace(ctx, rest)
		c.d.leave()
	}
}

// drain ends the inbox: what the server sent before it learned that arrives.
func (l *lane) drain(ctx context.Context) {
	l.c.mu.Lock()
	waiting := l.pull != nil
	l.c.mu.Unlock()
	if !waiting || !l.c.d.nc.IsConnected() {
		_ = l.sub.Unsubscribe()
		return
	}
	drained := make(chan struct{})
	l.sub.SetClosedHandler(func(string) { close(drained) })
	if err := l.sub.Drain(); err != nil {
		_ = l.sub.Unsubscribe()
		return
	}
	select {
	case <-drained:
	case <-ctx.Done():
		_ = l.sub.Unsubscribe()
	}
}
