package proxy

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// door is where clients connect: a listener, open or shut.
type door struct {
	listener *net.TCPListener
	ended    chan struct{} // closed when run has returned
	fillers  []net.Conn    // connections that keep others out
}

// listen makes a door that is shut until run is called.
func listen(p *port) (*door, error) {
	l, err := p.listen()
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return &door{listener: l.(*net.TCPListener), ended: make(chan struct{})}, nil
}

// run passes on who comes, until the door is closed or ignores them.
func (d *door) run(enter func(*net.TCPConn)) {
	defer close(d.ended)
	for {
		c, err := d.listener.AcceptTCP()
		if err != nil {
			return
		}
		enter(c)
	}
}

// close makes connecting fail at once. d may be nil.
func (d *door) close() error {
	if d == nil {
		return nil
	}
	err := d.listener.Close()
	for _, c := range d.fillers {
		err = errors.Join(err, c.Close())
	}
	return err
}

// ignore makes connecting wait: nothing is accepted any more, and the queue in front
// of the door is made short and filled.
func (d *door) ignore() error {
	if err := d.listener.SetDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	if err := shorten(d.listener); err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	for range 8 { // the system takes one or two more than it is told
		c, err := net.DialTimeout("tcp", d.listener.Addr().String(), 30*time.Millisecond)
		if err != nil {
			return nil
		}
		d.fillers = append(d.fillers, c)
	}
	return nil
}
