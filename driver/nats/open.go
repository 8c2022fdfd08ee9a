package nats

import (
	"context"
	"errors"
	"net/url"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// init registers the driver.
func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: schemes,
		Open:    driver.OpenerOf(openURL),
		Types:   []driver.Driver{(*Driver)(nil)},
	})
}

// Open connects to the server that the URL names and checks that it is fit; the
// package documentation has the URL's form. It tries each server of the URL once:
// if none can be reached, it returns driver.ErrUnavailable and does not wait, so a
// program that may start before the server has to call Open again. Errors do not
// repeat the URL's credentials.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	u, err := driver.ParseURL(Name, rawURL)
	if err != nil {
		return nil, err
	}
	return openURL(ctx, u)
}

// openURL is Open for a URL that was parsed.
func openURL(ctx context.Context, u *url.URL) (*Driver, error) {
	c, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	if err := c.options.complete(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fail("open", "", fault.NotSent{Err: err})
	}
	nc, err := dial(ctx, c.client())
	if err != nil {
		return nil, err
	}
	d, err := connect(ctx, nc, true, c.options)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return d, nil
}

// dial connects. The client library has no dial with a ctx: if ctx ends first, the
// library's dial goes on until its own timeout.
func dial(ctx context.Context, o *natsgo.Options) (*natsgo.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		o.Timeout = min(o.Timeout, max(time.Until(deadline), time.Millisecond))
	}
	type outcome struct {
		nc  *natsgo.Conn
		err error
	}
	done := make(chan outcome, 1)
	given := make(chan struct{})
	go func() {
		nc, err := o.Connect()
		select {
		case <-given:
			if nc != nil {
				nc.Close()
			}
		case done <- outcome{nc, err}:
		}
	}()
	select {
	case r := <-done:
		// Whatever an error was, it stored nothing.
		if r.err != nil {
			return nil, fail("open", "", fault.NotSent{Err: r.err})
		}
		return r.nc, nil
	case <-ctx.Done():
		close(given)
		select {
		case r := <-done: // it was there already, and is not wanted any more
			if r.nc != nil {
				r.nc.Close()
			}
		default:
		}
		return nil, faults.Refuse("open", "", driver.ErrUnavailable, ctx.Err(), hintSilent)
	}
}

// New makes a driver that uses the caller's connection, and checks the server as
// [Open] does. Close leaves the connection open. Make the connection with
// ReconnectBufSize(-1): otherwise the client library buffers what is published
// while the connection is down, and sends it later. The driver does not publish if
// it sees that the connection is down, but the connection may go down just then.
func New(ctx context.Context, nc *natsgo.Conn, options Options) (*Driver, error) {
	if nc == nil {
		return nil, invalid(errors.New("the connection is nil"))
	}
	if err := options.complete(); err != nil {
		return nil, err
	}
	return connect(ctx, nc, false, options)
}

// connect makes the driver and checks the server. owned says that the connection
// is the driver's to close.
func connect(ctx context.Context, nc *natsgo.Conn, owned bool, options Options) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("open", "", fault.NotSent{Err: err})
	}
	conn, err := newConnection(nc, owned)
	if err != nil {
		return nil, fail("open", "", err)
	}
	d := newDriver(conn, options)
	if err := d.check(ctx); err != nil {
		conn.close()
		return nil, err
	}
	return d, nil
}
