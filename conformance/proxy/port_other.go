//go:build !linux || mips || mipsle || mips64 || mips64le

package proxy

import (
	"net"
	"time"
)

// relisten is how long a port that was given up is asked for again.
const relisten = 5 * time.Second

// port is a port of the loopback interface. This system has no means to keep it while
// nobody listens: another listener may have it meanwhile.
type port struct{ addr string }

// reserve finds a port that is free.
func reserve() (*port, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &port{l.Addr().String()}, l.Close()
}

// listen listens on the port.
func (p *port) listen() (net.Listener, error) {
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(relisten); ; <-retry.C {
		l, err := net.Listen("tcp", p.addr)
		if err == nil || time.Now().After(deadline) {
			return l, err
		}
	}
}

// release gives the port up.
func (p *port) release() error { return nil }
