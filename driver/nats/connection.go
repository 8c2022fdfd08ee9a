package nats

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	natsgo "github.com/nats-io/nats.go"
)

// connection is the connection to the server, with one inbox for the answers to
// all requests of the driver.
type connection struct {
	nc    *natsgo.Conn
	owned bool   // it is the driver's to close
	inbox string // ends with a dot
	sub   *natsgo.Subscription
	// losses counts how often the connection was lost. What was handed out
	// before a loss may have been forgotten by a server that crashed.
	losses atomic.Uint64

	statuses chan natsgo.Status
	watched  chan struct{} // closed when watch has ended

	mu        sync.Mutex // guards following
	pending   map[uint64]*requests
	listeners map[listener]struct{}
	next      uint64 // number of the next requests
	cut       error  // not nil once nothing is sent any more
}

// listener is what waits for something else than answers, and is told when the
// connection was lost or closed.
type listener interface{ lost(why error) }

// newConnection prepares a connection for the driver.
func newConnection(nc *natsgo.Conn, owned bool) (*connection, error) {
	c := &connection{nc: nc, owned: owned, inbox: nc.NewInbox() + ".", pending: make(map[uint64]*requests), listeners: make(map[listener]struct{}), watched: make(chan struct{})}
	// Registered before the first request, so that no loss goes unseen.
	c.statuses = nc.StatusChanged(natsgo.DISCONNECTED, natsgo.RECONNECTING, natsgo.CLOSED)
	if owned {
		nc.SetErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { c.onError(err) })
	}
	sub, err := nc.Subscribe(c.inbox+">", c.dispatch)
	if err != nil {
		nc.RemoveStatusListener(c.statuses)
		return nil, err
	}
	// As many answers come as there are requests, so that they are bounded.
	_ = sub.SetPendingLimits(-1, -1)
	c.sub = sub
	go c.watch()
	return c, nil
}

// watch ends what waits when the connection is lost.
func (c *connection) watch() {
	defer close(c.watched)
	for range c.statuses {
		c.losses.Add(1)
		c.breakAll(errLost)
	}
}

// breakAll ends all requests and pulls under way.
func (c *connection) breakAll(why error) {
	c.mu.Lock()
	pending := make([]*requests, 0, len(c.pending))
	for _, r := range c.pending {
		pending = append(pending, r)
	}
	listeners := make([]listener, 0, len(c.listeners))
	for l := range c.listeners {
		listeners = append(listeners, l)
	}
	c.mu.Unlock()
	for _, r := range pending {
		r.fail(why)
	}
	for _, l := range listeners {
		l.lost(why)
	}
}

// onError takes what the server reports beside its answers: that it refused a
// permission. It ends the requests that were sent to that subject.
func (c *connection) onError(err error) {
	if !errors.Is(err, natsgo.ErrPermissionViolation) {
		return
	}
	// nats: Permissions Violation for Publish to "subject"
	_, rest, ok := strings.Cut(err.Error(), `"`)
	if !ok {
		return
	}
	subject, _, _ := strings.Cut(rest, `"`)
	c.mu.Lock()
	var hit []*requests
	for _, r := range c.pending {
		if strings.HasPrefix(subject, r.scope) {
			hit = append(hit, r)
		}
	}
	c.mu.Unlock()
	for _, r := range hit {
		r.fail(fmt.Errorf("%w: %w", errForbidden, err))
	}
}

// close ends everything under way and everything to come.
func (c *connection) close() {
	c.mu.Lock()
	c.cut = errCut
	c.mu.Unlock()
	c.breakAll(errCut)
	_ = c.sub.Unsubscribe() // it fails if the connection is closed, which ends the subscription
	c.nc.RemoveStatusListener(c.statuses)
	<-c.watched
	if c.owned {
		c.nc.Close()
	}
}

// listen tells l of losses from now on.
func (c *connection) listen(l listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[l] = struct{}{}
}

// unlisten ends listen.
func (c *connection) unlisten(l listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.listeners, l)
}

// ready is nil, or why nothing can be sent now.
func (c *connection) ready() error {
	switch {
	case c.nc.IsConnected():
		return nil
	case c.nc.IsClosed():
		return natsgo.ErrConnectionClosed
	}
	return errDown
}

// requests prepares n requests to subjects that begin with scope. The caller
// sends or skips each, and then waits.
func (c *connection) requests(n int, scope string) (*requests, error) {
	down := c.ready() // not with c.mu held: it waits for what is being written
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cut != nil:
		return nil, c.cut
	case down != nil:
		return nil, down
	}
	c.next++
	id := c.next
	r := &requests{
		nc: c.nc, scope: scope, reply: c.inbox + strconv.FormatUint(id, 36) + ".", forget: func() { c.forget(id) },
		done: make(chan struct{}), answers: make([]*natsgo.Msg, n), left: n,
	}
	c.pending[id] = r
	return r, nil
}

// forget drops requests whose answers are not awaited any more.
func (c *connection) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// dispatch takes an answer to the requests that await it.
func (c *connection) dispatch(m *natsgo.Msg) {
	id, number, ok := strings.Cut(m.Subject[min(len(c.inbox), len(m.Subject)):], ".")
	if !ok {
		return
	}
	n, err := strconv.ParseUint(id, 36, 64)
	if err != nil {
		return
	}
	i, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	c.mu.Lock()
	r := c.pending[n]
	c.mu.Unlock()
	if r != nil { // else it was given up
		r.take(i, m)
	}
}
