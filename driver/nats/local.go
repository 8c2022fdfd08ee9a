package nats

import (
	"maps"
	"net"
	"reflect"
	"slices"
	"sync"

	natsgo "github.com/nats-io/nats.go"
)

// local is what the drivers of this process share of a server in it.
type local struct {
	server natsgo.InProcessConnProvider
	users  int // guarded by locals.mu

	mu     sync.Mutex // guards following
	queues map[string]*holders
}

// locals are the servers of this process that drivers use.
var locals = struct {
	mu       sync.Mutex // guards following
	byServer map[natsgo.InProcessConnProvider]*local
}{byServer: make(map[natsgo.InProcessConnProvider]*local)}

// joinLocal shares the server of a connection until leave. It is nil if the server is
// elsewhere, or others have a part in it: processes that connect to it, or servers of a
// cluster.
func joinLocal(nc *natsgo.Conn, options *Options) *local {
	server := nc.Opts.InProcessServer
	listener, ok := server.(interface{ Addr() net.Addr })
	hasJetStream, _ := nc.ConnectedServerJetStream()
	if !ok || listener.Addr() != nil || !hasJetStream || nc.ConnectedClusterName() != "" || options.Domain != "" {
		return nil
	}
	if !reflect.ValueOf(server).Comparable() {
		return nil // it cannot be told from others
	}
	locals.mu.Lock()
	defer locals.mu.Unlock()
	l := locals.byServer[server]
	if l == nil {
		l = &local{server: server, queues: make(map[string]*holders)}
		locals.byServer[server] = l
	}
	l.users++
	return l
}

// leave ends joinLocal. A nil one was never shared.
func (l *local) leave() {
	if l == nil {
		return
	}
	locals.mu.Lock()
	defer locals.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(locals.byServer, l.server)
	}
}

// holders are those of a queue, nil if the server is elsewhere.
func (l *local) holders(n *names) *holders {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.queues[n.stream]
	if h == nil {
		h = newHolders()
		l.queues[n.stream] = h
	}
	return h
}

// held are the receipts of what is held, or was until a moment ago, of all queues.
func (l *local) held() (all []*receipt) {
	l.mu.Lock()
	queues := slices.Collect(maps.Values(l.queues))
	l.mu.Unlock()
	for _, h := range queues {
		all = append(all, h.held()...)
	}
	return all
}
