package embedded

import (
	"context"
	"net/url"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
)

// init registers the driver.
func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: []string{Name},
		Open:    driver.OpenerOf(openURL),
		Types:   []driver.Driver{(*Driver)(nil)},
	})
}

// Open opens the directory that the URL names, as [New] does; the package
// documentation has the URL's form.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	u, err := driver.ParseURL(Name, rawURL)
	if err != nil {
		return nil, err
	}
	return openURL(ctx, u)
}

// openURL is Open for a URL that was parsed.
func openURL(ctx context.Context, u *url.URL) (*Driver, error) {
	directory, options, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	return New(ctx, directory, options)
}

// New starts a server on the directory, or joins the one that this process has
// started on it, and makes a handle on it. It waits until the server has started,
// up to the deadline of ctx and for two minutes at most.
func New(ctx context.Context, directory string, options Options) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, refuse(err, nil, "")
	}
	if err := options.complete(); err != nil {
		return nil, err
	}
	i, err := acquire(ctx, directory, options)
	if err != nil {
		return nil, err
	}
	// Nothing breaks this connection but the server's end. The client library prints
	// what it calls asynchronous errors if nobody takes them.
	nc, err := natsgo.Connect("", natsgo.InProcessServer(i.server), natsgo.Name("batch"), natsgo.ReconnectBufSize(-1), natsgo.NoReconnect(),
		natsgo.ErrorHandler(func(*natsgo.Conn, *natsgo.Subscription, error) {}))
	if err != nil {
		_ = i.release(ctx) // the error is why
		return nil, refuse(driver.ErrUnavailable, err, "")
	}
	d, err := nats.New(ctx, nc, nats.Options{Prefix: options.Prefix, DedupWindow: options.DedupWindow, Replicas: 1, GroupCommit: options.SyncAlways})
	if err != nil {
		nc.Close()
		_ = i.release(ctx) // as above
		return nil, err
	}
	return &Driver{Driver: d, nc: nc, server: i}, nil
}
