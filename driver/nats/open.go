package nats

import (
	"context"
	"errors"
	"net/url"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/bootclock"
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
	dialer := &dialer{config: c}
	l, err := dialer.dial(ctx)
	if err != nil {
		return nil, dialFailed(err)
	}
	d, err := connect(ctx, l, dialer, c.options)
	if err != nil {
		l.nc.Close()
		return nil, err
	}
	return d, nil
}

// dialFailed is the error of an Open whose dial failed.
func dialFailed(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return silent(err)
	}
	// Whatever an error was, it stored nothing.
	return fail("open", "", fault.NotSent{Err: err})
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
	return connect(ctx, &link{nc: nc}, nil, options)
}

// connect makes the driver and checks the server. dialer makes the connection anew,
// and is nil if it was passed in.
func connect(ctx context.Context, l *link, dialer *dialer, options Options) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("open", "", fault.NotSent{Err: err})
	}
	conn, err := newConnection(l, dialer)
	if err != nil {
		return nil, fail("open", "", err)
	}
	d := newDriver(conn, options)
	if err := d.check(ctx); err != nil {
		conn.close()
		return nil, err
	}
	d.localize(l.nc)
	return d, nil
}

// localize goes by the clock of this process, if the server does, and watches it.
func (d *Driver) localize(nc *natsgo.Conn) {
	if !bootclock.IsShared {
		return // it may stand still while the machine sleeps
	}
	if d.local = joinLocal(nc, &d.options); d.local != nil {
		d.clock.own = true
		d.watch = newWatch(d.wasSet, d.mend)
	}
}
