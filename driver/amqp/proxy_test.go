package amqp

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a driver and a broker, to do what networks do.
type proxy struct {
	address  string
	listener net.Listener
	tasks    sync.WaitGroup

	mu sync.Mutex // guards following
	// thawed is closed while the proxy forwards; meanwhile it reads nothing.
	thawed chan struct{}
	conns  []net.Conn
	closed bool
}

// newProxy forwards to the broker that a URL names. It ends with the test.
func newProxy(t testing.TB, address string) *proxy {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	u.Host = l.Addr().String()
	p := &proxy{address: u.String(), listener: l, thawed: make(chan struct{})}
	close(p.thawed)
	p.tasks.Go(func() { p.accept(target) })
	t.Cleanup(p.close)
	return p
}

// accept forwards one connection after the other.
func (p *proxy) accept(target string) {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", target)
		if err != nil {
			_ = near.Close()
			continue
		}
		if !p.add(near, far) {
			return
		}
		p.tasks.Go(func() { p.copy(far, near) })
		p.tasks.Go(func() { p.copy(near, far) })
	}
}

// add takes care of two ends, unless the proxy was closed.
func (p *proxy) add(ends ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, ends...)
	if p.closed {
		for _, c := range ends {
			_ = c.Close()
		}
	}
	return !p.closed
}

// copy forwards one way while it may.
func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		thawed := p.thawed
		p.mu.Unlock()
		<-thawed
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// freeze lets nothing through any more, and takes nothing after what is on its way, as a
// firewall or a machine does that hangs.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.thawed = make(chan struct{})
}

// thaw undoes it.
func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
	default:
		close(p.thawed)
	}
}

// cut closes what connections there are.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// close ends the proxy.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cut()
	p.thaw()
	p.tasks.Wait()
}
