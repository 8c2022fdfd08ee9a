package nats_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// relay passes connections on to a server, until it is told to swallow: then they stay
// open, new ones are accepted, and nothing comes through in either direction, as behind
// a firewall that has forgotten them.
type relay struct {
	listener  net.Listener
	backend   string
	swallowed atomic.Pointer[func(up bool, b []byte) bool] // tells whether to swallow these bytes
	accepted  chan struct{}                                // has one when somebody has connected

	mu    sync.Mutex // guards following
	conns []net.Conn
}

// startRelay starts a relay before the server at an address.
func startRelay(t testing.TB, url string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, backend: strings.TrimPrefix(url, "nats://"), accepted: make(chan struct{}, 1)}
	r.pass()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case r.accepted <- struct{}{}:
			default:
			}
			all.Go(func() { r.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // the test is over
		r.reset()
		all.Wait()
	})
	return r
}

// url is that of the relay.
func (r *relay) url() string { return "nats://" + r.listener.Addr().String() }

// pass lets everything through from now on.
func (r *relay) pass() { r.filter(func(bool, []byte) bool { return false }) }

// swallow lets nothing through from now on.
func (r *relay) swallow() { r.filter(func(bool, []byte) bool { return true }) }

// filter asks swallow about each piece that is on its way, up to the server or down.
func (r *relay) filter(swallow func(up bool, b []byte) bool) { r.swallowed.Store(&swallow) }

// reset ends the connections.
func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close() // it may have ended
	}
	r.conns = nil
}

// serve passes one connection on.
func (r *relay) serve(client net.Conn) {
	server, err := net.Dial("tcp", r.backend)
	if err != nil {
		// Nobody is there, or everything is swallowed.
		server, _ = net.Pipe()
	}
	r.mu.Lock()
	r.conns = append(r.conns, client, server)
	r.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { r.copy(server, client, true) })
	both.Go(func() { r.copy(client, server, false) })
	both.Wait()
}

// copy passes on what comes from one side.
func (r *relay) copy(to io.WriteCloser, from io.ReadCloser, up bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !(*r.swallowed.Load())(up, b[:n]) {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
