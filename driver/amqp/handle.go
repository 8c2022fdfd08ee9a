package amqp

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/batch-go/batch/driver"
)

// handle is what both driver types are: two connections, one for publishing and
// one for all else. RabbitMQ stops to read from a connection that publishes when
// it is short of memory or disk, and acknowledgements, which are what helps it
// then, must not wait behind that.
type handle struct {
	config *config
	info   driver.Info
	// anew tells that the place of a message that comes back must be taken by a
	// new one: classic queues do not count how often it was handed out, and
	// quorum queues hand out first what came back, whatever its priority.
	anew bool
	// counted is anew for what was pushed and never received: before 4.3 quorum
	// queues count it as handed out.
	counted bool
	// timeouts tells that the waiting queue has a consumer timeout: classic ones
	// have none as of 4.3, and refuse the argument.
	timeouts bool

	pub *port
	sub *port

	queues   sync.Map // queue to *names
	declared sync.Map // queues that this handle declared
	ladders  sync.Map // queue to *ladder

	publisher  atomic.Pointer[publisher]
	publishing chan struct{} // holds a token while somebody makes a publisher

	shelves keyed // who of this handle works on dead letters

	mu sync.Mutex // guards following
	// finished is closed when Close has ended; nil before it began.
	finished  chan struct{}
	closed    bool
	consumers map[*consumer]struct{}
	calls     sync.WaitGroup // calls under way; Add only while not closed

	tasks sync.WaitGroup  // what callers may have left behind
	life  context.Context // of tasks: ends when Close has waited for the calls
	end   context.CancelFunc
}

func newHandle(c *config) *handle {
	h := &handle{config: c, consumers: make(map[*consumer]struct{}), publishing: make(chan struct{}, 1)}
	h.life, h.end = context.WithCancel(context.Background())
	h.pub = newPort(c, "publishing")
	h.sub = newPort(c, "consuming")
	return h
}

// enter counts a call as under way. Its error says that nothing was sent.
func (h *handle) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		if h.isClosed() {
			return errClosed
		}
		return notSent{err}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errClosed
	}
	h.calls.Add(1)
	return nil
}

func (h *handle) leave() { h.calls.Done() }

func (h *handle) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// publishOn returns a publisher that lives, or makes one, once.
func (h *handle) publishOn(ctx context.Context) (*publisher, error) {
	if p := h.publisher.Load(); p != nil && p.alive() {
		return p, nil
	}
	select {
	case h.publishing <- struct{}{}:
	case <-ctx.Done():
		return nil, notSent{ctx.Err()}
	}
	if p := h.publisher.Load(); p != nil && p.alive() {
		<-h.publishing
		return p, nil
	}
	l, err := h.pub.link(ctx)
	if err != nil {
		<-h.publishing
		return nil, err
	}
	var p *publisher
	err = h.await(ctx, func() error {
		defer func() { <-h.publishing }()
		fresh, err := newPublisher(l)
		if err != nil {
			return lostCall(l, err)
		}
		h.publisher.Store(fresh)
		p = fresh
		return nil
	})
	if err != nil {
		return nil, notSent{err}
	}
	return p, nil
}

// publish stores messages, and says in their err what became of each.
func (h *handle) publish(ctx context.Context, items []*publication) {
	if len(items) == 0 {
		return
	}
	p, err := h.publishOn(ctx)
	if err != nil {
		for _, item := range items {
			item.err = err
		}
		return
	}
	p.publish(ctx, items)
}

// Close ends the connections and the consumers on them. It waits for the calls
// under way until ctx ends, and then cuts the connections.
func (h *handle) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.finished != nil {
		finished := h.finished
		h.mu.Unlock()
		select {
		case <-finished:
		case <-ctx.Done():
		}
		return nil
	}
	h.finished = make(chan struct{})
	h.closed = true
	consumers := make([]*consumer, 0, len(h.consumers))
	for c := range h.consumers {
		consumers = append(consumers, c)
	}
	h.mu.Unlock()
	defer close(h.finished)

	var left sync.WaitGroup
	for _, c := range consumers {
		left.Go(func() { _ = c.Close(ctx) })
	}
	left.Wait()
	idle := make(chan struct{})
	go func() {
		h.calls.Wait()
		close(idle)
	}()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = ctx.Err()
	}
	h.end()
	for _, p := range []*port{h.pub, h.sub} {
		if e := p.close(ctx); err == nil {
			err = e
		}
	}
	<-idle
	h.tasks.Wait()
	return fail("close", "", err)
}
