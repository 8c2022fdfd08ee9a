package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// dialTimeout bounds connecting to the broker for a client.
const dialTimeout = 10 * time.Second

// Proxy passes connections on to one address. Its methods may be called concurrently.
// Make it with [Listen].
type Proxy struct {
	upstream string
	port     *port
	pumps    sync.WaitGroup

	mu sync.Mutex // guards following
	// door is where clients connect, and nil while they are refused.
	door *door
	// shut is set while nobody can enter.
	shut bool
	// held are the directions in which nothing passes.
	held Direction
	// delay is by how much what passes is late, in each direction.
	delay  time.Duration
	links  map[*link]struct{}
	calls  int
	cut    Cut
	hit    chan struct{} // closed when the cut begins
	closed bool
	// changed is closed and replaced when one of the above has changed.
	changed chan struct{}
}

// Listen makes a proxy on a port of the loopback interface, which passes connections
// on to the broker at upstream, host:port. Close it.
func Listen(upstream string) (*Proxy, error) {
	reserved, err := reserve()
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{upstream: upstream, port: reserved, links: make(map[*link]struct{}), changed: make(chan struct{})}
	if err := p.open(); err != nil {
		return nil, errors.Join(err, reserved.release())
	}
	return p, nil
}

// Addr is where clients connect to, host:port. It does not change.
func (p *Proxy) Addr() string { return p.port.addr }

// Calls is how many calls have come from clients, on all connections: chunks of bytes
// that were written at once, as far as that can be seen.
func (p *Proxy) Calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// Connections is how many connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Hold keeps back what comes from now on in these directions, and in no others, on
// connections that there are and on new ones, without a word to either side: a black
// hole, or a machine that is frozen. Hold(0) lets all pass, what was kept back first.
func (p *Proxy) Hold(d Direction) { p.change(func() { p.held = d }) }

// Delay makes all that passes late by d in each direction. Zero ends that.
func (p *Proxy) Delay(d time.Duration) { p.change(func() { p.delay = d }) }

// Forget makes nothing pass any more on the connections that there are, ever, without
// a word to either side, as when a firewall forgets them or the other machine has lost
// its power. New connections work.
func (p *Proxy) Forget() {
	p.change(func() {
		for l := range p.links {
			l.forgotten = true
		}
	})
}

// Lose resets the connections that were forgotten, as machines do that hear of one
// again. It returns how many these were.
func (p *Proxy) Lose() int { return p.finish((*link).reset, func(l *link) bool { return l.forgotten }) }

// change makes a change and tells those that wait for one.
func (p *Proxy) change(make func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	make()
	p.tell()
}

// tell wakes all that wait for a change. p.mu must be held.
func (p *Proxy) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// End closes the connections that there are, in order, as a broker does with those
// that are idle. It returns how many these were. New ones work.
func (p *Proxy) End() int { return p.finish((*link).end, all) }

// Reset breaks the connections that there are: both sides get a reset. It returns how
// many these were. New ones work.
func (p *Proxy) Reset() int { return p.finish((*link).reset, all) }

// all chooses every link.
func all(*link) bool { return true }

// finish does the same to all connections that are chosen.
func (p *Proxy) finish(how func(*link), choose func(*link) bool) int {
	p.mu.Lock()
	var chosen []*link
	for l := range p.links {
		if choose(l) {
			chosen = append(chosen, l)
		}
	}
	p.mu.Unlock()
	for _, l := range chosen {
		how(l)
	}
	return len(chosen)
}

// CutAt plans a cut. It replaces one that was planned before. What it returns is
// closed when the cut was made.
func (p *Proxy) CutAt(c Cut) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.hit = c, make(chan struct{})
	return p.hit
}

// Refuse makes new connections fail at once, as when nobody listens. Those that there
// are go on.
func (p *Proxy) Refuse() error { return p.take().close() }

// Ignore makes new connections wait for an answer that does not come, as when a
// firewall drops what a client sends. Those that there are go on. Where the system has
// no means for that, new connections are made, and nothing passes on them.
func (p *Proxy) Ignore() error {
	d := p.take()
	if d == nil {
		var err error
		if d, err = listen(p.port); err != nil {
			return err
		}
	}
	p.mu.Lock()
	p.door = d
	p.mu.Unlock()
	return d.ignore()
}

// Accept makes new connections work again, after Refuse or Ignore. Else it is a no-op.
func (p *Proxy) Accept() error {
	p.mu.Lock()
	shut := p.shut
	p.mu.Unlock()
	if !shut {
		return nil
	}
	if err := p.take().close(); err != nil {
		return err
	}
	return p.open()
}

// open listens and accepts.
func (p *Proxy) open() error {
	d, err := listen(p.port)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.door, p.shut = d, false
	p.mu.Unlock()
	go d.run(p.enter)
	return nil
}

// take shuts the door, which is the caller's then, or nil.
func (p *Proxy) take() *door {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.door
	p.door, p.shut = nil, true
	return d
}

// Close ends all connections and refuses new ones. It returns when nothing of the
// proxy is left. Closing it again is a no-op.
func (p *Proxy) Close() error {
	p.mu.Lock()
	again := p.closed
	p.closed = true
	p.mu.Unlock()
	if again {
		return nil
	}
	err := p.take().close()
	p.Reset()
	p.pumps.Wait()
	return errors.Join(err, p.port.release())
}

// enter begins to pass on the connection of a client.
func (p *Proxy) enter(client *net.TCPConn) {
	p.pumps.Go(func() {
		conn, err := net.DialTimeout("tcp", p.upstream, dialTimeout)
		if err != nil {
			abort(client)
			return
		}
		l := &link{client: client, broker: conn.(*net.TCPConn), done: make(chan struct{})}
		if !p.add(l) {
			l.reset()
			return
		}
		defer p.remove(l)
		var both sync.WaitGroup
		both.Go(func() { p.pump(l, Up, l.client, l.broker) })
		both.Go(func() { p.pump(l, Down, l.broker, l.client) })
		both.Wait()
		l.end()
	})
}

// add makes a link one of the proxy's, unless that is closed, or takes none any more: a
// link that was still being made then would outlive a Reset.
func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := !p.closed && !p.shut
	if open {
		p.links[l] = struct{}{}
	}
	return open
}

// remove takes away a link that has ended.
func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// pump passes on what comes in one direction, until the connection ends.
func (p *Proxy) pump(l *link, d Direction, from, to *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if !p.pass(l, d, time.Now()) {
			return
		}
		if n > 0 && (d == Up && !p.call(l, buf[:n]) || write(l, to, buf[:n]) != nil) {
			return
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite()
			return
		}
		if err != nil {
			l.reset()
			return
		}
	}
}

// call counts a call that is about to pass, and tells whether it may. If it is the one
// that was planned, it cuts the link.
func (p *Proxy) call(l *link, bytes []byte) bool {
	p.mu.Lock()
	p.calls++
	c, made := p.cut, p.hit
	hit := p.calls == c.Call
	p.mu.Unlock()
	if !hit {
		return true
	}
	defer close(made)
	if c.ForGood {
		_ = p.Refuse()
		p.finish((*link).reset, func(other *link) bool { return other != l })
	}
	if c.After {
		l.last(bytes)
	}
	l.reset()
	return false
}

// pass waits until what came at a time may pass, and tells whether it is to.
func (p *Proxy) pass(l *link, d Direction, came time.Time) bool {
	for {
		p.mu.Lock()
		changed, held, delay := p.changed, l.forgotten || p.held&d != 0, p.delay
		p.mu.Unlock()
		left := time.Until(came.Add(delay))
		select {
		case <-l.done:
			return false
		default:
		}
		if !held && left <= 0 {
			return true
		}
		var due <-chan time.Time
		timer := time.NewTimer(left)
		if !held {
			due = timer.C
		}
		select {
		case <-l.done:
		case <-changed:
		case <-due:
		}
		timer.Stop()
	}
}
