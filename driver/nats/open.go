package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// The oldest version that has scheduled messages, message TTLs and atomic
// batches: https://docs.nats.io/release-notes/whats_new/whats_new_212. The first
// with them, 2.12.0, stops answering in the middle of the conformance suite.
var oldest = [3]int{2, 12, 1}

var schemes = []string{"nats", "tls", "nats+tls"}

func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: schemes,
		Open: func(ctx context.Context, u *url.URL) (driver.Driver, error) {
			d, err := openURL(ctx, u)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
		Types: []driver.Driver{(*Driver)(nil)},
	})
}

// Options are what a driver on a connection of the caller's own is made with.
// The zero value is the default of each.
type Options struct {
	// Prefix is what the names of streams and subjects begin with: 1 to 32 bytes
	// of [A-Za-z0-9_-]. Defaults to "batch".
	Prefix string
	// Replicas is how many servers keep each queue, 1 to 5. It is used when a
	// queue is made; one that exists with another number is a conflict. Zero is 3
	// on a cluster and 1 on a single server, and takes a queue as it is.
	Replicas int
	// DedupWindow is how long a dedup key is remembered, between a second and 30
	// days, rounded up to seconds. Zero is 24 hours.
	DedupWindow time.Duration
	// GroupCommit stores what one Enqueue has in one atomic batch. A server that
	// has the disk keep each message before it answers (sync_interval: always)
	// does so once for a batch, which is many times faster with many producers;
	// other servers are slower with it.
	GroupCommit bool
	// Domain is the JetStream domain, for servers behind a leaf node. Defaults to
	// that of the server connected to.
	Domain string
}

// complete fills in the defaults and checks the bounds.
func (o *Options) complete() error {
	if o.Prefix == "" {
		o.Prefix = "batch"
	}
	if !isName(o.Prefix, 32) {
		return invalid(fmt.Errorf("the prefix %q is not 1 to 32 of the characters A-Z a-z 0-9 _ -", o.Prefix))
	}
	if o.Domain != "" && !isName(o.Domain, 64) {
		return invalid(fmt.Errorf("the domain %q is not 1 to 64 of the characters A-Z a-z 0-9 _ -", o.Domain))
	}
	if o.Replicas < 0 || o.Replicas > 5 {
		return invalid(fmt.Errorf("the replicas are %d, which is not from 1 to 5", o.Replicas))
	}
	if o.DedupWindow == 0 {
		o.DedupWindow = defaultDedupWindow
	}
	if o.DedupWindow < time.Second || o.DedupWindow > maxDedupWindow {
		return invalid(fmt.Errorf("the dedup window %s is not between 1s and %s", o.DedupWindow, maxDedupWindow))
	}
	o.DedupWindow = (o.DedupWindow + time.Second - 1).Truncate(time.Second)
	return nil
}

func isName(s string, most int) bool {
	if len(s) == 0 || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// Open connects to the server that the URL names and checks that it is fit; the
// package documentation has the URL's form. It returns when the server answered
// or ctx ended. Errors do not repeat the URL's credentials.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // the outer one repeats the URL
		}
		if strings.Contains(err.Error(), "port") {
			// "invalid port \":x\" after host" repeats a password with a slash in it.
			err = errors.New("the host or port is not valid; a password must be escaped for URLs")
		}
		return nil, invalid(err)
	}
	return openURL(ctx, u)
}

func openURL(ctx context.Context, u *url.URL) (*Driver, error) {
	c, err := parse(u)
	if err != nil {
		return nil, err
	}
	if err := c.options.complete(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fail("open", "", notBegun{err})
	}
	// The server's refusal of a permission comes on the side, and goes to the
	// link once there is one.
	var target atomic.Pointer[link]
	o := c.client()
	o.AsyncErrorCB = func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
		if l := target.Load(); l != nil {
			l.onError(err)
		}
	}
	nc, err := dial(ctx, o)
	if err != nil {
		return nil, err
	}
	d, err := connect(ctx, nc, c.options, &target)
	if err != nil {
		closeConn(nc)
		return nil, err
	}
	d.owned = true
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
				closeConn(nc)
			}
		case done <- outcome{nc, err}:
		}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			err := fail("open", "", r.err).(*driver.Error)
			err.Fate = driver.FateNotStored // whatever it was, it stored nothing
			return nil, err
		}
		return r.nc, nil
	case <-ctx.Done():
		close(given)
		select {
		case r := <-done: // it was there already, and is not wanted any more
			if r.nc != nil {
				closeConn(r.nc)
			}
		default:
		}
		return nil, &driver.Error{Driver: Name, Op: "open", Kind: driver.ErrUnavailable, Fate: driver.FateNotStored,
			Err: ctx.Err(), Hint: "the server did not answer in time"}
	}
}

// closeConn closes a connection and waits until its goroutines know.
func closeConn(nc *natsgo.Conn) {
	closed := nc.StatusChanged(natsgo.CLOSED)
	nc.Close()
	nc.RemoveStatusListener(closed)
}

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
	return connect(ctx, nc, options, nil)
}

// connect checks the server and completes the driver.
func connect(ctx context.Context, nc *natsgo.Conn, options Options, target *atomic.Pointer[link]) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("open", "", notBegun{err})
	}
	l, err := newLink(nc)
	if err != nil {
		return nil, fail("open", "", err)
	}
	if target != nil {
		target.Store(l)
	}
	d := &Driver{
		link: l, nc: nc, options: options, apiRoot: "$JS.API.",
		batches:   make(chan struct{}, 8),
		consumers: make(map[*consumer]struct{}),
	}
	if options.Domain != "" {
		d.apiRoot = "$JS." + options.Domain + ".API."
	}
	if err := d.check(ctx); err != nil {
		l.close()
		return nil, err
	}
	return d, nil
}

// check refuses what the driver cannot keep its promises on.
func (d *Driver) check(ctx context.Context) error {
	refuse := func(kind error, hint, format string, args ...any) error {
		return &driver.Error{Driver: Name, Op: "open", Kind: kind, Fate: driver.FateNotStored, Err: fmt.Errorf(format, args...), Hint: hint}
	}
	version := d.nc.ConnectedServerVersion()
	if version != "" && !atLeast(version, oldest) {
		return refuse(driver.ErrUnsupported, "upgrade the server: delays, retries and atomic enqueues need scheduled messages and atomic batches",
			"nats-server %s was found and %d.%d.%d is needed", version, oldest[0], oldest[1], oldest[2])
	}
	var account struct {
		API struct {
			Level int `json:"level"`
		} `json:"api"`
	}
	err := d.link.api(ctx, d.apiRoot+"INFO", nil, &account)
	hasJetStream, _ := d.nc.ConnectedServerJetStream()
	switch {
	case isNobody(err) && !hasJetStream:
		return refuse(driver.ErrUnsupported, "start the server with -js, or switch JetStream on for the account", "JetStream is off on nats-server %s", version)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return &driver.Error{Driver: Name, Op: "open", Kind: driver.ErrUnavailable, Fate: driver.FateNotStored,
			Err: err, Hint: "the server did not answer in time"}
	case err != nil:
		return fail("open", "", err)
	case account.API.Level < apiLevel:
		// The server that answers for JetStream need not be the one connected to.
		return refuse(driver.ErrUnsupported, "upgrade every server of the cluster",
			"the JetStream servers have API level %d and %d is needed, that of nats-server 2.12", account.API.Level, apiLevel)
	}
	payload := d.nc.MaxPayload()
	if payload < 2*headerRoom {
		return refuse(driver.ErrUnsupported, "raise max_payload of the server", "the server takes messages of %d bytes and %d are needed", payload, 2*headerRoom)
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

// onError takes what the server says on the side.
func (l *link) onError(err error) {
	if !errors.Is(err, natsgo.ErrPermissionViolation) {
		return
	}
	// nats: Permissions Violation for Publish to "subject"
	_, rest, ok := strings.Cut(err.Error(), `"`)
	subject, _, _ := strings.Cut(rest, `"`)
	if ok {
		l.forbid(subject, fmt.Errorf("%w: %w", errForbidden, err))
	}
}
