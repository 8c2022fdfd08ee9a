package nats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// connection is the connection to the server, with one inbox for the answers to
// all requests of the driver. One that the driver made is made anew when it is lost,
// in the background: no call waits for that.
type connection struct {
	dialer  *dialer // nil if the connection was passed in, and connects again by itself
	current atomic.Pointer[link]
	// up says that the connection stands, as far as is known. It is not asked of the
	// client library, which may hold its lock while it dials.
	up atomic.Bool
	// losses counts how often the connection was lost. What was handed out
	// before a loss may have been forgotten by a server that crashed.
	losses atomic.Uint64

	quit    context.CancelFunc
	ended   <-chan struct{} // closed by quit
	watched chan struct{}   // closed when watch has ended

	mu        sync.Mutex // guards following
	pending   map[uint64]*requests
	listeners map[listener]struct{}
	next      uint64 // number of the next requests
	cut       error  // not nil once nothing is sent any more
	refused   error  // not nil if the server refused the inbox of this link
}

// listener is what waits for something else than answers, and is told when the
// connection was lost or closed, and when the server refused it a subject or an inbox.
type listener interface {
	lost(why error)
	// forbidden has no subject if the server has refused an inbox and does not say which.
	forbidden(subject string, why error)
}

// newConnection prepares a connection for the driver. dialer makes l anew, and is nil
// if l was passed in.
func newConnection(l *link, dialer *dialer) (*connection, error) {
	ctx, quit := context.WithCancel(context.Background())
	c := &connection{dialer: dialer, quit: quit, ended: ctx.Done(), pending: make(map[uint64]*requests), listeners: make(map[listener]struct{}), watched: make(chan struct{})}
	// Registered before the first request, so that no loss goes unseen.
	var statuses chan natsgo.Status
	if dialer == nil {
		statuses = l.nc.StatusChanged(natsgo.CONNECTED, natsgo.DISCONNECTED, natsgo.RECONNECTING, natsgo.CLOSED)
	}
	if err := c.use(l); err != nil {
		if statuses != nil {
			l.nc.RemoveStatusListener(statuses)
		}
		quit()
		return nil, err
	}
	if dialer == nil {
		go c.watchForeign(ctx, l.nc, statuses)
	} else {
		go c.watch(ctx, l)
	}
	return c, nil
}

// use sends everything by way of l from now on.
func (c *connection) use(l *link) error {
	l.inbox = l.nc.NewInbox() + "."
	if c.dialer != nil {
		l.nc.SetErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { c.onError(err) })
	}
	sub, err := l.nc.Subscribe(l.inbox+">", func(m *natsgo.Msg) { c.dispatch(l, m) })
	if err != nil {
		return err
	}
	// As many answers come as there are requests, so that they are bounded.
	_ = sub.SetPendingLimits(-1, -1)
	l.sub = sub
	c.mu.Lock()
	c.refused = nil
	c.mu.Unlock()
	c.current.Store(l)
	c.up.Store(true)
	return nil
}

// watch makes the connection anew when it is lost, until ctx ends.
func (c *connection) watch(ctx context.Context, l *link) {
	defer close(c.watched)
	for l != nil {
		select {
		case <-l.gone:
		case <-ctx.Done():
			return
		}
		// The library says so before it closes the socket. Nothing that is told to be
		// unsent may leave after that.
		l.socket.end()
		c.dialer.learn(l)
		c.down()
		if l = c.dialer.redial(ctx); l != nil && c.use(l) != nil {
			l.nc.Close() // it is lost again already, and gone says so
		}
	}
}

// watchForeign follows a connection that connects again by itself.
func (c *connection) watchForeign(ctx context.Context, nc *natsgo.Conn, statuses chan natsgo.Status) {
	defer close(c.watched)
	// The client library drops what it has to tell while nobody takes it.
	look := time.NewTicker(time.Second)
	defer look.Stop()
	defer nc.RemoveStatusListener(statuses)
	for {
		select {
		case status, ok := <-statuses:
			if !ok {
				return
			}
			if status == natsgo.CONNECTED {
				c.up.Store(true)
			} else {
				c.down()
			}
		case <-look.C:
			if !c.up.Load() && nc.IsConnected() {
				c.up.Store(true)
			}
		case <-ctx.Done():
			return
		}
	}
}

// down ends what waits, as the connection is lost.
func (c *connection) down() {
	c.up.Store(false)
	c.losses.Add(1)
	c.breakAll(errLost)
}

// sleep waits, and returns an error if ctx ends or the driver is closed first.
func (c *connection) sleep(ctx context.Context, d time.Duration) error {
	end := time.NewTimer(d)
	defer end.Stop()
	select {
	case <-end.C:
		return nil
	case <-c.ended:
		return errCut
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nc is the connection that is in use, or was the last.
func (c *connection) nc() *natsgo.Conn { return c.current.Load().nc }

// breakAll ends all requests and pulls under way.
func (c *connection) breakAll(why error) {
	c.mu.Lock()
	pending := slices.Collect(maps.Values(c.pending))
	listeners := slices.Collect(maps.Keys(c.listeners))
	c.mu.Unlock()
	for _, r := range pending {
		r.fail(why)
	}
	for _, l := range listeners {
		l.lost(why)
	}
}

// onError takes what the server reports beside its answers: that it refused a
// permission. It ends what was sent to that subject, or all if it is the inbox: those
// answers would not come, whatever was done.
func (c *connection) onError(err error) {
	if errors.Is(err, natsgo.ErrMaxSubscriptionsExceeded) {
		c.crowd(err)
		return
	}
	if !errors.Is(err, natsgo.ErrPermissionViolation) {
		return
	}
	// nats: Permissions Violation for Publish to "subject"
	text, rest, ok := strings.Cut(err.Error(), `"`)
	if !ok {
		return
	}
	subject, _, _ := strings.Cut(rest, `"`)
	why := fmt.Errorf("%w: %w", errForbidden, err)
	c.mu.Lock()
	deaf := strings.Contains(text, "Subscription") && subject == c.current.Load().inbox+">"
	if deaf {
		c.refused = why
	}
	pending := slices.Collect(maps.Values(c.pending))
	listeners := slices.Collect(maps.Keys(c.listeners))
	c.mu.Unlock()
	for _, r := range pending {
		if deaf {
			r.fail(fmt.Errorf("%w: %w", errDeaf, why))
		} else {
			r.refuse(subject, why)
		}
	}
	for _, l := range listeners {
		l.forbidden(subject, why)
	}
}

// crowd leaves the subscriptions that there may be to those who cannot do without.
func (c *connection) crowd(why error) {
	c.current.Load().mailboxes.end()
	c.mu.Lock()
	listeners := slices.Collect(maps.Keys(c.listeners))
	c.mu.Unlock()
	for _, l := range listeners {
		l.forbidden("", why)
	}
}

// close ends everything under way and everything to come.
func (c *connection) close() {
	c.mu.Lock()
	c.cut = errCut
	c.mu.Unlock()
	c.breakAll(errCut)
	c.quit()
	<-c.watched
	l := c.current.Load()
	l.mailboxes.end()
	_ = l.sub.Unsubscribe() // it fails if the connection is closed, which ends the subscription
	if c.dialer != nil {
		l.nc.Close()
		<-l.gone
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
	if c.up.Load() {
		return nil
	}
	return errDown
}

// requests prepares n requests to the subject scope, or to subjects that begin with it
// if it ends with a dot. The caller sends or skips each, and then waits.
func (c *connection) requests(n int, scope string) (*requests, error) {
	return c.prepare(&requests{scope: scope}, n)
}

// publications prepares requests that store entries: one for each, or if they are atomic,
// the first and the last.
func (c *connection) publications(entries []entry, atomic bool) (*requests, error) {
	n := len(entries)
	if atomic {
		n = min(2, n)
	}
	return c.prepare(&requests{entries: entries, atomic: atomic}, n)
}

// prepare makes r that of n requests, by the link that r has, if it has one.
func (c *connection) prepare(r *requests, n int) (*requests, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cut != nil:
		return nil, c.cut
	case !c.up.Load():
		return nil, errDown
	case c.refused != nil:
		return nil, c.refused
	}
	l := c.current.Load()
	switch {
	case r.link != nil && r.link != l:
		return nil, errDown // it was lost a moment ago
	case l.socket != nil && l.socket.isFull():
		return nil, errUnread
	}
	c.next++
	r.link, r.id = l, c.next
	r.out.link, r.out.direct = l, l.open && l.heard.Load()
	if id := r.id; !r.apart {
		r.forget = func() { c.forget(id) }
		r.reply = l.inbox + strconv.FormatUint(r.id, 36) + "."
	}
	r.done, r.answers, r.left, r.written = make(chan struct{}), make([]*natsgo.Msg, n), n, l.written()
	c.pending[r.id] = r
	return r, nil
}

// forget drops requests whose answers are not awaited any more.
func (c *connection) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// dispatch takes an answer to the requests that await it.
func (c *connection) dispatch(l *link, m *natsgo.Msg) {
	id, number, ok := strings.Cut(m.Subject[min(len(l.inbox), len(m.Subject)):], ".")
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
	if !l.heard.Load() {
		l.heard.Store(true)
	}
	c.mu.Lock()
	r := c.pending[n]
	c.mu.Unlock()
	if r != nil { // else it was given up
		r.take(i, m)
	}
}
