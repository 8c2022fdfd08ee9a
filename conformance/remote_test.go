package conformance_test

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// remoteFaults are ways to break the driver below.
type remoteFaults struct {
	dial     time.Duration // dials take as long as this, whatever their context says
	tardy    time.Duration // calls return as late as this when their context ends
	deaf     bool          // calls wait for their answer, whatever their context says
	lingers  bool          // Close waits for calls, whatever its context says
	loyal    bool          // a connection that answers nothing is kept
	stale    bool          // a connection that has ended is used once more
	hopeful  bool          // what is sent is confirmed, whatever comes of it
	certain  bool          // what is in doubt is said to be not stored
	stubborn bool          // what is in doubt is sent again
	early    bool          // a job is removed before its dead letter or retry is stored
	final    bool          // a consumer whose connection broke does not go on
}

// remote is a driver for a remoteServer: small, and right unless it has faults. It has
// no capabilities and one connection, which is made anew by the call that misses it.
type remote struct {
	addr string
	f    remoteFaults
	info driver.Info
	done chan struct{} // closed by Close
	once sync.Once
	all  sync.WaitGroup

	dialing chan struct{} // held by the call that connects
	mu      sync.Mutex    // guards following
	client  *rpc.Client
}

// openRemote connects.
func openRemote(ctx context.Context, addr string, f remoteFaults) (driver.Driver, error) {
	r := &remote{addr: addr, f: f, done: make(chan struct{}), dialing: make(chan struct{}, 1)}
	var a RemoteAnswer
	if err := r.call(ctx, &RemoteCall{Op: "info"}, &a); err != nil {
		r.Close(context.Background())
		return nil, err
	}
	r.info = a.Info
	r.info.Driver = "remote"
	return r, nil
}

// refuse makes an error.
func refuse(kind error, fate driver.Fate, err error) error {
	return &driver.Error{Driver: "remote", Op: "call", Kind: kind, Fate: fate, Err: err}
}

// connect is the connection, a new one if need be.
func (r *remote) connect(ctx context.Context) (*rpc.Client, error) {
	select {
	case r.dialing <- struct{}{}:
		defer func() { <-r.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	client := r.client
	r.mu.Unlock()
	if client != nil {
		return client, nil
	}
	if r.f.dial > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.Background(), r.f.dial)
		defer cancel()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.addr)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	client = rpc.NewClient(conn)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client = client
	return client, nil
}

// drop gives up a connection.
func (r *remote) drop(client *rpc.Client) {
	r.mu.Lock()
	if r.client == client {
		r.client = nil
	}
	r.mu.Unlock()
	client.Close()
}

// answerTime is how long an answer may take before the connection is taken for dead.
const answerTime = 500 * time.Millisecond

// call makes a call.
func (r *remote) call(ctx context.Context, c *RemoteCall, a *RemoteAnswer) error {
	err := r.tryCall(ctx, c, a)
	if ctx.Err() != nil && r.f.tardy > 0 {
		<-time.After(r.f.tardy)
	}
	return err
}

// tryCall is call in time. One that found its connection ended was not sent.
func (r *remote) tryCall(ctx context.Context, c *RemoteCall, a *RemoteAnswer) error {
	r.all.Add(1)
	defer r.all.Done()
	for range 100 {
		select {
		case <-r.done:
			return refuse(driver.ErrClosed, driver.FateNotStored, nil)
		default:
		}
		if err := ctx.Err(); err != nil {
			return refuse(err, driver.FateNotStored, nil)
		}
		client, err := r.connect(ctx)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return refuse(err, driver.FateNotStored, nil)
		}
		if err != nil {
			return refuse(driver.ErrUnavailable, driver.FateNotStored, err)
		}
		err = r.exchange(ctx, client, c, a)
		if errors.Is(err, rpc.ErrShutdown) && !r.f.stale {
			r.drop(client)
			continue
		}
		if err != nil && r.f.stubborn {
			continue
		}
		return err
	}
	return refuse(driver.ErrUnavailable, driver.FateNotStored, nil)
}

// exchange sends a call and waits for its answer.
func (r *remote) exchange(ctx context.Context, client *rpc.Client, c *RemoteCall, a *RemoteAnswer) error {
	doubt := driver.FateUnknown
	if r.f.certain {
		doubt = driver.FateNotStored
	}
	sent := client.Go("Broker.Call", c, a, make(chan *rpc.Call, 1))
	if r.f.hopeful && c.Op == "enqueue" {
		return nil
	}
	patience := time.NewTimer(answerTime + poll)
	defer patience.Stop()
	if r.f.loyal {
		patience.Stop()
	}
	ended := ctx.Done()
	if r.f.deaf {
		ended = nil
		patience.Reset(6 * answerTime)
	}
	select {
	case <-sent.Done:
		switch {
		case sent.Error == nil:
			return a.Err.err()
		case errors.Is(sent.Error, rpc.ErrShutdown) && r.f.stale:
			r.drop(client)
			return refuse(driver.ErrUnavailable, doubt, sent.Error)
		case errors.Is(sent.Error, rpc.ErrShutdown):
			return sent.Error
		}
		r.drop(client)
		return refuse(driver.ErrUnavailable, doubt, sent.Error)
	case <-ended:
		if !r.f.loyal {
			// Whether it lives is found out beside the call, by the next answer.
			go r.check(client)
		}
		return refuse(ctx.Err(), doubt, nil)
	case <-patience.C:
		r.drop(client)
		return refuse(driver.ErrUnavailable, doubt, errors.New("no answer"))
	case <-r.done:
		return refuse(driver.ErrClosed, doubt, nil)
	}
}

// check drops a connection that does not answer.
func (r *remote) check(client *rpc.Client) {
	var a RemoteAnswer
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	select {
	case <-client.Go("Broker.Call", &RemoteCall{Op: "info"}, &a, make(chan *rpc.Call, 1)).Done:
	case <-timer.C:
		r.drop(client)
	case <-r.done:
	}
}

func (r *remote) Info() driver.Info { return r.info }

func (r *remote) Declare(ctx context.Context, queue string) error {
	return r.call(ctx, &RemoteCall{Op: "declare", Queue: queue}, new(RemoteAnswer))
}

func (r *remote) DeleteQueue(ctx context.Context, queue string) error {
	return r.call(ctx, &RemoteCall{Op: "delete", Queue: queue}, new(RemoteAnswer))
}

func (r *remote) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	var a RemoteAnswer
	err := r.call(ctx, &RemoteCall{Op: "enqueue", Queue: queue, Messages: messages}, &a)
	results := make([]driver.Result, len(messages))
	for i := range results {
		if results[i].Err = err; err == nil && i < len(a.Results) {
			results[i].Err = a.Results[i].err()
		}
	}
	return results
}

func (r *remote) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	var a RemoteAnswer
	err := r.call(ctx, &RemoteCall{Op: "depth", Queue: queue}, &a)
	return a.Depth, err
}

func (r *remote) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	var a RemoteAnswer
	err := r.call(ctx, &RemoteCall{Op: "letters", Queue: queue, Cursor: cursor, Max: max}, &a)
	return a.Letters, a.Next, err
}

func (r *remote) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	var a RemoteAnswer
	err := r.call(ctx, &RemoteCall{Op: "redrive", Queue: queue, Which: which}, &a)
	return a.N, err
}

func (r *remote) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	var a RemoteAnswer
	err := r.call(ctx, &RemoteCall{Op: "discard", Queue: queue, Which: which}, &a)
	return a.N, err
}

func (r *remote) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	var a RemoteAnswer
	if err := r.call(ctx, &RemoteCall{Op: "consume", Queue: queue, Options: o}, &a); err != nil {
		return nil, err
	}
	return &remoteConsumer{r: r, queue: queue, id: a.N, lease: o.Lease, done: make(chan struct{})}, nil
}

func (r *remote) Close(ctx context.Context) error {
	r.once.Do(func() {
		if r.f.lingers {
			r.all.Wait()
		}
		close(r.done)
		r.mu.Lock()
		client := r.client
		r.mu.Unlock()
		if client != nil {
			r.drop(client)
		}
	})
	return nil
}

// remoteConsumer is a consumer of a remote.
type remoteConsumer struct {
	r      *remote
	queue  string
	id     int
	lease  time.Duration
	done   chan struct{} // closed by Stop and Close
	once   sync.Once
	closed sync.Once

	mu     sync.Mutex // guards following
	broken error      // a fault
	ended  bool       // by Close
}

func (c *remoteConsumer) Lease() time.Duration { return c.lease }

func (c *remoteConsumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	for {
		c.mu.Lock()
		broken := c.broken
		c.mu.Unlock()
		if broken != nil {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		select {
		case <-c.done:
			return nil, refuse(driver.ErrClosed, driver.FateNotStored, nil)
		default:
		}
		var a RemoteAnswer
		err := c.r.call(ctx, &RemoteCall{Op: "receive", Consumer: c.id, Max: max}, &a)
		switch {
		case err == nil:
			return a.Deliveries, nil
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			continue // the server's own poll
		case c.r.f.final && errors.Is(err, driver.ErrUnavailable):
			c.mu.Lock()
			c.broken = err
			c.mu.Unlock()
		}
		return nil, err
	}
}

// receipts are those of deliveries.
func receipts(all []*driver.Delivery) []int {
	numbers := make([]int, len(all))
	for i, d := range all {
		numbers[i] = d.Receipt.(int)
	}
	return numbers
}

// each makes a call about deliveries, and has one error for each.
func (c *remoteConsumer) each(ctx context.Context, call *RemoteCall) []error {
	call.Consumer = c.id
	var a RemoteAnswer
	errs := make([]error, len(call.Receipts))
	err := c.ending()
	if err == nil {
		err = c.r.call(ctx, call, &a)
	}
	for i := range errs {
		if errs[i] = err; err == nil && i < len(a.Errs) {
			errs[i] = a.Errs[i].err()
		}
	}
	return errs
}

// ending is the error of a consumer that was closed.
func (c *remoteConsumer) ending() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return refuse(driver.ErrClosed, driver.FateNotStored, nil)
	}
	return nil
}

func (c *remoteConsumer) Settle(ctx context.Context, all []driver.Settlement) []error {
	call := &RemoteCall{Op: "settle"}
	for _, s := range all {
		call.Receipts = append(call.Receipts, s.Delivery.Receipt.(int))
		s.Delivery = nil
		call.Settlements = append(call.Settlements, s)
	}
	if !c.r.f.early {
		return c.each(ctx, call)
	}
	done := &RemoteCall{Op: "settle", Receipts: call.Receipts}
	for range all {
		done.Settlements = append(done.Settlements, driver.Settlement{Outcome: driver.OutcomeDone})
	}
	errs := c.each(ctx, done)
	for i, s := range all {
		if errs[i] != nil || s.Outcome == driver.OutcomeDone {
			continue
		}
		e := &driver.Entry{Message: s.Delivery.Message, State: driver.StateWaiting, Failures: s.Failures, LastError: s.Error}
		if s.Outcome == driver.OutcomeDead {
			e.State, e.Reason, e.DeadAt = driver.StateDead, s.Reason, time.Now()
		}
		errs[i] = c.r.call(ctx, &RemoteCall{Op: "import", Queue: c.queue, Entries: []*driver.Entry{e}}, new(RemoteAnswer))
	}
	return errs
}

func (c *remoteConsumer) Extend(ctx context.Context, all []*driver.Delivery) []error {
	return c.each(ctx, &RemoteCall{Op: "extend", Receipts: receipts(all)})
}

func (c *remoteConsumer) Abandon(ctx context.Context, all []*driver.Delivery) {
	c.each(ctx, &RemoteCall{Op: "abandon", Receipts: receipts(all)})
}

func (c *remoteConsumer) Stop(ctx context.Context) error {
	var err error
	c.once.Do(func() {
		close(c.done)
		err = c.r.call(ctx, &RemoteCall{Op: "stop", Consumer: c.id}, new(RemoteAnswer))
	})
	if errors.Is(err, driver.ErrClosed) {
		return nil
	}
	return err
}

func (c *remoteConsumer) Close(ctx context.Context) error {
	var err error
	c.once.Do(func() { close(c.done) })
	c.closed.Do(func() {
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
		err = c.r.call(ctx, &RemoteCall{Op: "close", Consumer: c.id}, new(RemoteAnswer))
	})
	if errors.Is(err, driver.ErrClosed) {
		return nil
	}
	return err
}
