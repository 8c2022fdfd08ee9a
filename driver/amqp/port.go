package amqp

import (
	"context"
	"sync"
)

// port is one of the two connections as the driver knows it: the link of the
// moment, and the making of the next one when that has ended. It does so when it
// is needed and once, so that who called learns of a failure at once and decides
// when to try again.
type port struct {
	config  *config
	purpose string
	// dialing holds a token while somebody connects.
	dialing chan struct{}

	mu sync.Mutex // guards following
	// current is the last link, alive or not.
	current *link
	closed  bool
}

func newPort(c *config, purpose string) *port {
	return &port{config: c, purpose: purpose, dialing: make(chan struct{}, 1)}
}

// live is the link if it lives.
func (p *port) live() (*link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if p.current != nil && p.current.alive() {
		return p.current, nil
	}
	return nil, nil
}

// link returns the link that lives, or connects.
func (p *port) link(ctx context.Context) (*link, error) {
	if l, err := p.live(); l != nil || err != nil {
		return l, err
	}
	select {
	case p.dialing <- struct{}{}:
		defer func() { <-p.dialing }()
	case <-ctx.Done():
		return nil, notSent{ctx.Err()}
	}
	if l, err := p.live(); l != nil || err != nil {
		return l, err
	}
	l, err := p.config.dial(ctx, p.purpose)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.cut()
		<-l.ended
		return nil, errClosed
	}
	p.current = l
	return l, nil
}

// close ends the link, and keeps others from being made.
func (p *port) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	l := p.current
	p.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.close(ctx)
}
