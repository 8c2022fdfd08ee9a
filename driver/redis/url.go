package redis

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// schemes are those of the URLs that the driver opens.
var schemes = []string{"redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"}

// The shapes of a server, as the schemes name them.
const (
	shapeSingle   = ""
	shapeCluster  = "cluster"
	shapeSentinel = "sentinel"
)

// config is what a URL says.
type config struct {
	shape                          string
	addrs                          []string
	user, password                 string
	db                             int
	master                         string
	sentinelUser, sentinelPassword string
	tls                            *tls.Config
	dialTimeout, timeout           time.Duration
	poolSize                       int
	options                        Options
}

// parseURL reads a URL of the form that doc.go documents. No error repeats a
// credential.
func parseURL(u *url.URL) (*config, error) {
	scheme, shape, _ := strings.Cut(u.Scheme, "+")
	if (scheme != "redis" && scheme != "rediss") || (shape != shapeSingle && shape != shapeCluster && shape != shapeSentinel) {
		return nil, invalid(fmt.Errorf("the scheme %q is none of %s", u.Scheme, strings.Join(schemes, ", ")))
	}
	p := driver.NewParams(Name, u)
	if u.Opaque != "" || u.Fragment != "" {
		p.Refuse("the URL does not have the form %s://user:password@host:port", u.Scheme)
	}
	c := &config{shape: shape, user: u.User.Username()}
	c.password, _ = u.User.Password()
	c.readAddrs(p, u.Host)
	c.readDatabase(p, u.Path)
	if shape == shapeSentinel {
		c.readSentinel(p)
	}
	if scheme == "rediss" {
		c.readTLS(p)
	}
	c.dialTimeout = p.Duration("dial_timeout", 5*time.Second, time.Millisecond, time.Minute)
	c.timeout = p.Duration("timeout", 10*time.Second, 10*time.Millisecond, 10*time.Minute)
	// Connections are made as they are needed; this bounds them in case of an
	// error, above what a large process uses.
	c.poolSize = p.Int("pool_size", 512, 2, 100000)
	c.options.DedupWindow = p.Duration("dedup_window", defaultDedupWindow, minDedupWindow, maxDedupWindow)
	c.readDurability(p)
	c.options.AllowEviction = p.Choice("eviction", "refuse", "allow", "refuse") == "allow"
	if err := p.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// readDurability reads what a job must have reached before it counts as stored.
func (c *config) readDurability(p *driver.Params) {
	c.options.WaitReplicas = p.Int("wait_replicas", 0, 0, maxReplicas)
	c.options.WaitAOF = p.Bool("wait_aof", false)
	c.options.WaitTimeout = p.Duration("wait_timeout", defaultWaitTimeout, minWaitTimeout, maxWaitTimeout)
	if c.options.durability().wanted() && c.options.WaitTimeout >= c.timeout {
		p.Refuse("parameter wait_timeout=%s is not shorter than the timeout of %s", c.options.WaitTimeout, c.timeout)
	}
}

// readAddrs reads the addresses of the server, of nodes or of sentinels.
func (c *config) readAddrs(p *driver.Params, host string) {
	switch c.shape {
	case shapeCluster:
		c.addrs = p.Addrs("6379", host)
	case shapeSentinel:
		c.addrs = p.Addrs("26379", host)
	default:
		c.addrs = []string{p.Addr(host, "6379")}
	}
}

// readDatabase reads the number of the database from the path.
func (c *config) readDatabase(p *driver.Params, path string) {
	path = strings.Trim(path, "/")
	if path == "" {
		return
	}
	n, err := strconv.Atoi(path)
	if err != nil || n < 0 {
		p.Refuse("the path is not the number of a database; a slash in a password is written %%2F")
	}
	if n != 0 && c.shape == shapeCluster {
		p.Refuse("a cluster has database 0 only")
	}
	c.db = n
}

// readSentinel reads what Sentinel is asked for, and with which credentials.
func (c *config) readSentinel(p *driver.Params) {
	c.master = p.String("master", "")
	c.sentinelUser = p.String("sentinel_user", "")
	c.sentinelPassword = p.String("sentinel_password", "")
	if c.master == "" {
		p.Refuse("parameter master is missing: the name that Sentinel has for the primary")
	}
}

// readTLS reads the configuration of TLS. With several servers, each is checked
// against the address that is dialled.
func (c *config) readTLS(p *driver.Params) {
	name := ""
	if c.shape == shapeSingle {
		name, _, _ = net.SplitHostPort(c.addrs[0]) // an address that is none was refused
	}
	c.tls = p.TLS(name)
}

// calls are those that run on their callers' goroutines, or nil. The client of a cluster asks
// for its nodes and commands with a context of its own, which no caller's end interrupts.
func (c *config) calls() *calls {
	if c.shape == shapeCluster {
		return nil
	}
	return newCalls(c.timeout)
}

// forPipelines is how many of the connections to a node the client library keeps for pipelines,
// with larger buffers. By itself it has ten on top of what the user allows.
func (c *config) forPipelines() int { return min(c.poolSize/4, 10) }

// client makes the client that the configuration describes, with connections of dialer.
func (c *config) client(dialer *dialer) goredis.UniversalClient {
	u := &goredis.UniversalOptions{
		Addrs: c.addrs, MasterName: c.master, DB: c.db,
		Username: c.user, Password: c.password,
		SentinelUsername: c.sentinelUser, SentinelPassword: c.sentinelPassword,
		TLSConfig: c.tls,
		Dialer:    quietly(dialer.dial),
		// What the driver parses is RESP2; both servers have it for good.
		Protocol: 2,
		// The driver never tries again: the caller knows the deadline. The dialer
		// has a setting of its own, where 1 is one try.
		MaxRetries: -1, DialerRetries: 1,
		// The wait for a token has a shorter timeout than other commands.
		ContextTimeoutEnabled: true,
		DialTimeout:           c.dialTimeout, ReadTimeout: c.timeout, WriteTimeout: c.timeout, PoolTimeout: c.timeout,
		PoolSize: c.poolSize - c.forPipelines(), PipelinePoolSize: cmp.Or(c.forPipelines(), -1),
		IsClusterMode: c.shape == shapeCluster,
	}
	switch c.shape {
	case shapeCluster:
		return goredis.NewClusterClient(u.Cluster())
	case shapeSentinel:
		client := goredis.NewFailoverClient(u.Failover())
		client.AddHook(quietDials{})
		return client
	default:
		return goredis.NewClient(u.Simple())
	}
}
