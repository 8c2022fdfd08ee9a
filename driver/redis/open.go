package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// The oldest version that the scripts are right on, and tested with: since 7.0
// claims drop deleted entries from the pending list, scripts always replicate
// their effects, and errors keep their code when they pass through a script.
const minMajor, minMinor = 7, 0

var schemes = []string{"redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"}

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

// Options are what a driver on a client of the caller's own is made with. The
// zero value is the default of each.
type Options struct {
	// DedupWindow is how long a dedup key is remembered, between a second and
	// 30 days. Zero is 24 hours.
	DedupWindow time.Duration
	// AllowEviction accepts a server whose maxmemory-policy may evict keys
	// without a time to live: jobs, that is.
	AllowEviction bool
}

// Open connects to the server that the URL names and checks that it is fit; the
// package documentation has the URL's form. It returns when the server answered
// or ctx ended. Errors do not repeat the URL's password.
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
	client := c.client()
	d, err := connect(ctx, client, c.options)
	if err != nil {
		// Its connections may still be dialling where ctx ended first.
		_ = client.Close()
		return nil, err
	}
	d.owned = true
	return d, nil
}

// New makes a driver on a client that the caller has, checks the server, and
// leaves the client open on Close. The client must be a *redis.Client, of
// NewClient or NewFailoverClient, or a *redis.ClusterClient. Whatever retries
// it is set to, the driver's own commands are not retried. Its PoolSize should
// leave one connection for each consumer beside the application's own.
func New(ctx context.Context, client goredis.UniversalClient, options Options) (*Driver, error) {
	switch client.(type) {
	case *goredis.Client, *goredis.ClusterClient:
	default:
		// A Ring hashes whole keys to servers that know nothing of each other.
		return nil, invalid(fmt.Errorf("a %T is not a client of one server, Sentinel or Cluster", client))
	}
	if options.DedupWindow == 0 {
		options.DedupWindow = defaultDedupWindow
	}
	if options.DedupWindow < time.Second || options.DedupWindow > maxDedupWindow {
		return nil, invalid(fmt.Errorf("the DedupWindow %s is not between 1s and %s", options.DedupWindow, maxDedupWindow))
	}
	return connect(ctx, client, options)
}

// readTimeout is how long the client waits for a reply.
func readTimeout(client goredis.UniversalClient) time.Duration {
	switch c := client.(type) {
	case *goredis.Client:
		return c.Options().ReadTimeout
	case *goredis.ClusterClient:
		return c.Options().ReadTimeout
	}
	return 0
}

// connect asks every primary what it is.
func connect(ctx context.Context, client goredis.UniversalClient, options Options) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("open", "", notSent{err})
	}
	type outcome struct {
		servers []server
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		servers, err := ask(context.WithoutCancel(ctx), client)
		done <- outcome{servers, err}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		return nil, &driver.Error{Driver: Name, Op: "open", Kind: driver.ErrUnavailable, Fate: driver.FateNotStored,
			Err: ctx.Err(), Hint: "the server did not answer in time"}
	}
	if o.err != nil {
		err := fail("open", "", o.err).(*driver.Error)
		err.Fate = driver.FateNotStored // whatever it was, it stored nothing
		if err.Hint == "" {
			err.Hint = "is this the port of Redis or Valkey, with or without TLS as the scheme says?"
		}
		return nil, err
	}
	_, isCluster := client.(*goredis.ClusterClient)
	for _, s := range o.servers {
		if err := s.check(isCluster, options.AllowEviction); err != nil {
			return nil, err
		}
	}
	return &Driver{
		client: client, dedupWindow: options.DedupWindow, block: blockWithin(readTimeout(client)),
		info:      driver.Info{Driver: Name, Broker: o.servers[0].product, Version: o.servers[0].version, Limits: limits},
		consumers: make(map[*consumer]struct{}),
	}, nil
}

// server is what a server tells of itself.
type server struct {
	product, version, mode, eviction string
	memory                           bool // it has a maxmemory
}

// ask asks the server, or each primary of a cluster.
func ask(ctx context.Context, client goredis.UniversalClient) ([]server, error) {
	one := func(ctx context.Context, c goredis.Cmdable) (server, error) {
		text, err := c.Info(ctx).Result()
		return describe(text), err
	}
	cluster, ok := client.(*goredis.ClusterClient)
	if !ok {
		s, err := one(ctx, client)
		return []server{s}, err
	}
	var mu sync.Mutex
	var servers []server
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error {
		s, err := one(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		servers = append(servers, s)
		return err
	})
	if err == nil && len(servers) == 0 {
		err = errors.New("redis: cluster has no nodes")
	}
	return servers, err
}

// describe reads the reply of INFO. Valkey calls itself Redis 7.2.4 for old
// clients, and tells the truth in server_name and valkey_version.
func describe(info string) server {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			fields[name] = value
		}
	}
	s := server{product: "Redis", version: fields["redis_version"], mode: fields["redis_mode"],
		eviction: fields["maxmemory_policy"], memory: fields["maxmemory"] != "0"}
	if fields["server_name"] == "valkey" || fields["valkey_version"] != "" {
		s.product, s.version = "Valkey", fields["valkey_version"]
	}
	if s.mode == "" {
		s.mode = fields["server_mode"] // Valkey, if extended compatibility is off
	}
	return s
}

// check refuses what the driver cannot keep its promises on.
func (s server) check(isCluster, allowEviction bool) error {
	refuse := func(kind error, hint, format string, args ...any) error {
		return &driver.Error{Driver: Name, Op: "open", Kind: kind, Fate: driver.FateNotStored, Err: fmt.Errorf(format, args...), Hint: hint}
	}
	if s.mode == "sentinel" {
		return refuse(driver.ErrConfig, "use redis+sentinel://host:26379?master=NAME", "the server is a sentinel")
	}
	if s.mode == "cluster" && !isCluster {
		return refuse(driver.ErrConfig, "use redis+cluster://", "the server is part of a cluster")
	}
	if s.mode == "standalone" && isCluster {
		return refuse(driver.ErrConfig, "use redis://", "the server is not part of a cluster")
	}
	if s.product == "Redis" && !atLeast(s.version, minMajor, minMinor) {
		return refuse(driver.ErrUnsupported, "upgrade the server", "Redis %s was found and %d.%d is needed", s.version, minMajor, minMinor)
	}
	if s.memory && strings.HasPrefix(s.eviction, "allkeys-") && !allowEviction {
		return refuse(driver.ErrUnsupported, "set maxmemory-policy noeviction, or pass eviction=allow",
			"the server has maxmemory-policy %s, which drops jobs when memory runs out", s.eviction)
	}
	return nil
}

// atLeast compares the first two numbers of a version.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}
