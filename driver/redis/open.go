package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	goredis "github.com/redis/go-redis/v9"

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
// package documentation has the URL's form. It tries once: if the server cannot be
// reached, it returns driver.ErrUnavailable and does not wait, so a program that
// may start before the server has to call Open again. Errors do not repeat the
// URL's password.
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
	dialer := newDialer(c.dialTimeout, c.tls, c.calls())
	client := c.client(dialer)
	d, err := connect(ctx, client, c.options)
	if err != nil {
		// If ctx ended first, it may still be dialling.
		dialer.close()
		_ = client.Close()
		return nil, err
	}
	d.conn.dialer, d.conn.ctx = dialer, hush(dialer.cut)
	return d, nil
}

// New makes a driver that uses the caller's client, and checks the server as
// [Open] does. Close leaves the client open. The client must be a *redis.Client,
// made by NewClient or NewFailoverClient, or a *redis.ClusterClient. Whatever its
// MaxRetries, the driver's own commands are not retried. Its PoolSize has to be 2 at least:
// of what it has, consumers that wait hold a quarter at most, and half on a cluster.
func New(ctx context.Context, client goredis.UniversalClient, options Options) (*Driver, error) {
	switch client.(type) {
	case *goredis.Client, *goredis.ClusterClient:
	default:
		// A Ring hashes whole keys to servers that know nothing of each other.
		return nil, invalid(fmt.Errorf("a %T is not a client of one server, Sentinel or Cluster", client))
	}
	if err := options.complete(); err != nil {
		return nil, err
	}
	return connect(ctx, client, options)
}

// connect asks every primary what it is, and makes a driver if all are fit.
func connect(ctx context.Context, client goredis.UniversalClient, options Options) (*Driver, error) {
	servers, err := askInTime(ctx, client)
	if err != nil {
		return nil, err
	}
	_, isCluster := client.(*goredis.ClusterClient)
	pool := poolOf(client)
	if pool < 2 {
		return nil, invalid(errors.New("the client's pool has one connection, and a worker that waits for jobs holds one: its PoolSize has to be 2 or more"))
	}
	for _, s := range servers {
		if err := s.check(isCluster, options); err != nil {
			return nil, err
		}
	}
	conn := &connection{client: client, ctx: quiet, durability: options.durability()}
	if !isCluster {
		conn.places = make(places, mostFetches(pool))
	}
	return &Driver{
		conn:        conn,
		ears:        newEars(conn, blockOn(client), pool),
		sweeper:     newSweeper(conn, blockOn(client)),
		info:        driver.Info{Driver: Name, Broker: servers[0].product, Version: servers[0].version, Limits: limitsOf(servers)},
		dedupWindow: options.DedupWindow,
		eviction:    newEviction(conn, options.AllowEviction),
	}, nil
}

// askInTime is ask until ctx ends.
func askInTime(ctx context.Context, client goredis.UniversalClient) ([]server, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("open", "", fault.NotSent{Err: err})
	}
	type outcome struct {
		servers []server
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		servers, err := ask(hush(context.WithoutCancel(ctx)), client)
		done <- outcome{servers, err}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		return nil, faults.Refuse("open", "", driver.ErrUnavailable, ctx.Err(), "the server did not answer in time")
	}
	if o.err != nil {
		err := fail("open", "", o.err).(*driver.Error)
		err.Fate = driver.FateNotStored // whatever it was, it stored nothing
		if err.Hint == "" {
			err.Hint = "is this the port of Redis or Valkey, with or without TLS as the scheme says?"
		}
		return nil, err
	}
	return o.servers, nil
}
