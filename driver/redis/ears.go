package redis

import (
	"context"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// blockFor is how long one BLPOP waits at most. It bounds how long it goes unnoticed that
	// the network dropped a connection silently, and how long a queue stands still when a
	// consumer dies between taking the token and fetching.
	blockFor = 5 * time.Second
	// patience is how much longer than it was asked to block a server may take to answer.
	// After that the network or the server is taken for gone, whatever the timeout of other
	// commands is, and the wait begins anew on another connection.
	patience = 5 * time.Second
	// mostListeners is how many connections wait for tokens, however many queues there are. A
	// BLPOP of 100 keys takes the server some 20 µs.
	mostListeners = 16
	// mostFetching bounds the fetches that are under way at once.
	mostFetching = 32
)

// ears are the listeners of a driver. Up to a limit each consumer has one for itself. After
// that they share those that there are, so that the connections that wait do not grow with the
// queues. On a cluster one command cannot name keys of different slots: there the limit is
// higher, and what is beyond it is asked for twice a second.
type ears struct {
	conn            *connection
	block, patience time.Duration
	limit           int
	shared          bool // a BLPOP may name the keys of several queues

	mu        sync.Mutex // guards following
	listeners []*listener
	poller    *listener // nil without
}

// newEars makes the ears for a client that has so many connections to each server.
func newEars(conn *connection, block time.Duration, pool int) *ears {
	e := &ears{conn: conn, block: block, patience: patience}
	if _, cluster := conn.client.(*goredis.ClusterClient); cluster {
		// All queues may be on one node, which keeps half of its connections for other calls.
		e.limit = max(pool/2, 1)
	} else {
		e.shared = true
		e.limit = min(max(pool/4, 1), mostListeners)
	}
	return e
}

// mostFetches is how many fetches may be under way with a pool of so many connections.
func mostFetches(pool int) int { return min(max(pool/4, 1), mostFetching) }

// poolOf is how many connections a client may have to each server.
func poolOf(client goredis.UniversalClient) int {
	size, active := 0, 0
	switch c := client.(type) {
	case *goredis.Client:
		size, active = c.Options().PoolSize, c.Options().MaxActiveConns
	case *goredis.ClusterClient:
		size, active = c.Options().PoolSize, c.Options().MaxActiveConns
	}
	if active > 0 {
		size = min(size, active)
	}
	return size
}

// blockOn is how long a BLPOP may wait on a client that gives up reading a reply
// after a time of its own.
func blockOn(client goredis.UniversalClient) time.Duration {
	var timeout time.Duration // none, if not positive
	switch c := client.(type) {
	case *goredis.Client:
		timeout = c.Options().ReadTimeout
	case *goredis.ClusterClient:
		timeout = c.Options().ReadTimeout
	}
	if timeout <= 0 {
		return blockFor
	}
	return min(blockFor, timeout/2)
}

// join finds a listener for a consumer: one of its own, or that which has the fewest.
func (e *ears) join(w *waker) *member {
	e.mu.Lock()
	defer e.mu.Unlock()
	var l *listener
	switch {
	case len(e.listeners) < e.limit:
		l = e.listener(nil)
		e.listeners = append(e.listeners, l)
	case e.shared:
		l = e.listeners[0]
		for _, other := range e.listeners[1:] {
			if other.size() < l.size() {
				l = other
			}
		}
	default:
		if e.poller == nil {
			e.poller = e.listener((*listener).poll)
		}
		l = e.poller
	}
	m := &member{waker: w, listener: l, idle: true}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members = append(l.members, m)
	return m
}

// listener makes a listener.
func (e *ears) listener(ask func(*listener, *round)) *listener {
	return &listener{conn: e.conn, block: e.block, patience: e.patience, ask: ask, over: make(chan struct{})}
}

// leave has a consumer wait no more, as it stops. It may be called again if ctx ended, and the
// BLPOP for it goes on.
func (e *ears) leave(ctx context.Context, m *member) error {
	err := m.leave(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	l := m.listener
	if l.size() > 0 {
		return err
	}
	if i := slices.Index(e.listeners, l); i >= 0 {
		e.listeners = slices.Delete(e.listeners, i, i+1)
		close(l.over)
	} else if l == e.poller {
		e.poller = nil
		close(l.over)
	}
	return err
}
