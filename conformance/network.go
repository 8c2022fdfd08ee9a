package conformance

import (
	"context"
	"errors"

	"github.com/batch-go/batch/conformance/proxy"
	"github.com/batch-go/batch/driver"
)

// network makes a way to the broker that the case can disturb. It ends with the case.
func (s *stage) network() *proxy.Proxy {
	p, err := proxy.Listen(s.harness.Addr)
	s.check(err, "make a way to the broker")
	s.after(func(context.Context) error { return p.Close() })
	return p
}

// through opens a handle by way of a network. After the case that is mended, and the
// handle is closed: in what state it is then is not judged here, but it must not hang.
func (s *stage) through(p *proxy.Proxy) driver.Driver {
	d, err := s.harness.openAt(s.ctx, p.Addr())
	s.check(err, "open a handle through a proxy")
	if p.Calls() == 0 && p.Connections() == 0 { // it may have closed the one that it began with
		s.failf("the handle from Harness.OpenAt does not use the address that it was given")
	}
	s.after(func(ctx context.Context) error {
		err := mend(p)
		ctx, cancel := context.WithTimeout(ctx, s.cleanupTime()/4)
		defer cancel()
		_ = d.Close(ctx)
		if ctx.Err() != nil {
			err = errors.Join(err, errors.New("a handle whose network was mended takes long to close"))
		}
		return err
	})
	return d
}

// mend makes all pass again. Connections that are lost for good end.
func mend(p *proxy.Proxy) error {
	err := p.Accept()
	p.Delay(0)
	p.Hold(0)
	p.Lose()
	return err
}
