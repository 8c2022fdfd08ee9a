package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// oldest is the oldest version that has scheduled messages, message TTLs and atomic
// batches (https://docs.nats.io/release-notes/whats_new/whats_new_212) and does not
// stop answering. Up to 2.12.1 a read of several messages takes the stream's lock
// twice (getDirectRequest and lastSeq in server/stream.go): if an acknowledgement
// comes in between, both wait for ever, and soon the whole server does.
var oldest = [3]int{2, 12, 3}

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
// package documentation has the URL's form. It returns when the server answered
// or ctx ended. Errors do not repeat the URL's credentials.
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

// dial connects. The client library has no dial with a ctx, so that it is
// bounded by its own timeout where ctx ends first.
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

// hintSilent is the hint of an open that ends with its ctx.
const hintSilent = "the server did not answer in time"

// New makes a driver on a connection that the caller has, checks the server, and
// leaves the connection open on Close. Made with ReconnectBufSize(-1), it does
// not hold messages back while it is down; the driver does not publish on a
// connection that it sees to be down, but it may go down in that moment.
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

// check refuses what the driver cannot keep its promises on.
func (d *Driver) check(ctx context.Context) error {
	refuse := func(kind error, hint, format string, args ...any) error {
		return faults.Refuse("open", "", kind, fmt.Errorf(format, args...), hint)
	}
	nc := d.conn.nc
	version := nc.ConnectedServerVersion()
	if version != "" && !atLeast(version, oldest) {
		return refuse(driver.ErrUnsupported, "upgrade the server: delays, retries and atomic enqueues need scheduled messages and atomic batches",
			"nats-server %s was found and %d.%d.%d is needed", version, oldest[0], oldest[1], oldest[2])
	}
	var account struct {
		API struct {
			Level int `json:"level"`
		} `json:"api"`
	}
	err := d.conn.callAPI(ctx, d.apiRoot+"INFO", nil, &account)
	hasJetStream, _ := nc.ConnectedServerJetStream()
	switch {
	case isUnanswered(err) && !hasJetStream:
		return refuse(driver.ErrUnsupported, "start the server with -js, or switch JetStream on for the account", "JetStream is off on nats-server %s", version)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return faults.Refuse("open", "", driver.ErrUnavailable, err, hintSilent)
	case err != nil:
		return fail("open", "", err)
	case account.API.Level < apiLevel:
		// The server that answers for JetStream need not be the one connected to.
		return refuse(driver.ErrUnsupported, "upgrade every server of the cluster",
			"the JetStream servers have API level %d and %d is needed, that of nats-server 2.12", account.API.Level, apiLevel)
	}
	payload := nc.MaxPayload()
	if payload < 2*headerSpace {
		return refuse(driver.ErrUnsupported, "raise max_payload of the server", "the server takes messages of %d bytes and %d are needed", payload, 2*headerSpace)
	}
	d.info = driver.Info{Driver: Name, Broker: "NATS", Version: version, Limits: limitsFor(payload)}
	if d.options.GroupCommit {
		// The larger the batch, the fewer the syncs.
		d.info.Limits.Publishers = 1
	}
	return nil
}

// apiLevel is the level of the JetStream API of nats-server 2.12
// (JSApiLevel in server/jetstream_versioning.go).
const apiLevel = 2

// atLeast compares the three numbers of a version.
func atLeast(version string, want [3]int) bool {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	parts := strings.Split(version, ".")
	if len(parts) != len(want) {
		return false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < want[i] {
			return false
		}
		if n > want[i] {
			return true
		}
	}
	return true
}
