package brokers

import (
	"context"
	"testing"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// Redis returns a server of version v that all tests of the binary share, with an append-only file and
// neither password nor TLS. With BATCH_TEST_REDIS_URL set it returns that server, whatever v is.
func Redis(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "redis "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneRedis})
	}, func() (*Instance, error) { return given("redis", "6379", launch.Redis) })
}

// NewRedis starts a server of version v for this test alone and removes it when the test ends. args
// are added to the server's command line and win over the defaults. BATCH_TEST_REDIS_URL does not
// count here: a test that asks for its own server means to stop it, freeze it or configure it. What it
// has acknowledged survives its end: with appendfsync everysec, the default, a server whose disk is
// busy keeps writes in its memory for up to two seconds, and Kill loses them.
func NewRedis(t testing.TB, v Version, args ...string) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneRedis, Args: append([]string{"--appendfsync", "always"}, args...)})
	})
}

// OwnOrRedis is NewRedis, or the broker that BATCH_TEST_REDIS_URL names: one that is
// not [Instance.Ours], which the test must not disturb.
func OwnOrRedis(t testing.TB, v Version, args ...string) *Instance {
	t.Helper()
	return orGiven(t, "redis", "6379", launch.Redis, func() *Instance { return NewRedis(t, v, args...) })
}

// RedisTLS returns a shared server of version v that speaks nothing but TLS and asks for a password.
// The instance has what a client needs: TLS trusts its certificate, which a client that does not take
// it must refuse, and Password is made up anew in every run.
func RedisTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "redis with TLS "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneRedis, TLS: true})
	}, nil)
}

// NewRedisTLS starts a server as RedisTLS does, for this test alone. As with NewRedis, what it has
// acknowledged survives its end.
func NewRedisTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneRedis, TLS: true, Args: []string{"--appendfsync", "always"}})
	})
}

// RedisVersions returns the versions that a driver's tests run against: every row of the redis family,
// or one when BATCH_TEST_REDIS_URL or BATCH_TEST_REDIS_IMAGE says which broker to use.
func RedisVersions() []Version {
	return versions("redis", Redis7, Valkey8, Redis8)
}

// A Cluster is a Redis Cluster of three masters without replicas: keys are spread over three servers,
// and those of a server that stops cannot be reached until it starts again.
type Cluster struct {
	// Nodes are the masters. A third of the slots belongs to each, in this order.
	Nodes []*Instance

	*group
}

// RedisCluster returns a cluster of version v that all tests of the binary share.
func RedisCluster(t testing.TB, v Version) *Cluster {
	t.Helper()
	return share(t, "redis cluster "+string(v), func(l *launcher) (*Cluster, error) {
		return l.launchRedisCluster(v)
	}, nil)
}

// NewRedisCluster starts a cluster for this test alone, which may stop or freeze its nodes.
func NewRedisCluster(t testing.TB, v Version) *Cluster {
	t.Helper()
	return own(t, func(l *launcher) (*Cluster, error) { return l.launchRedisCluster(v) })
}

func (l *launcher) launchRedisCluster(v Version) (*Cluster, error) {
	g, err := l.launch(v, launch.Broker{Kind: launch.RedisCluster})
	if err != nil {
		return nil, err
	}
	return &Cluster{Nodes: g.nodes, group: g}, nil
}

// Addrs returns the addresses of the nodes, as cluster clients take them.
func (c *Cluster) Addrs() []string {
	return c.addrs()
}

// Await returns when every node knows all nodes and takes the cluster for complete, or ctx ends. A node
// that was started again serves clients before that.
func (c *Cluster) Await(ctx context.Context) error {
	return c.await(ctx)
}

// String says what the cluster is, in the form of the report.
func (c *Cluster) String() string {
	return c.describe("a cluster of three masters")
}

// A Sentinel is a Redis master with one replica and one sentinel, which makes the replica the master
// when the master is gone for more than a second. One sentinel is no model for production: it is the
// fewest that can decide alone.
type Sentinel struct {
	MasterName string    // what to ask the sentinel for
	Master     *Instance // the master at the start; who it is now, the sentinel knows
	Replica    *Instance // the replica at the start
	Monitor    *Instance // the sentinel itself

	*group
}

// RedisSentinel returns a master, a replica and a sentinel of version v that all tests of the binary
// share.
func RedisSentinel(t testing.TB, v Version) *Sentinel {
	t.Helper()
	return share(t, "redis sentinel "+string(v), func(l *launcher) (*Sentinel, error) {
		return l.launchRedisSentinel(v)
	}, nil)
}

// NewRedisSentinel starts them for this test alone, which may stop or freeze each.
func NewRedisSentinel(t testing.TB, v Version) *Sentinel {
	t.Helper()
	return own(t, func(l *launcher) (*Sentinel, error) { return l.launchRedisSentinel(v) })
}

func (l *launcher) launchRedisSentinel(v Version) (*Sentinel, error) {
	g, err := l.launch(v, launch.Broker{Kind: launch.RedisSentinel})
	if err != nil {
		return nil, err
	}
	return &Sentinel{
		MasterName: launch.SentinelMaster,
		Master:     g.nodes[0], Replica: g.nodes[1], Monitor: g.nodes[2],
		group: g,
	}, nil
}

// Addrs returns the addresses of the sentinels, as clients take them.
func (s *Sentinel) Addrs() []string {
	return []string{s.Monitor.Addr}
}

// MasterAddr asks the sentinel for the address of the present master.
func (s *Sentinel) MasterAddr(ctx context.Context) (addr string, err error) {
	err = s.launcher.call(ctx, "Master", &launch.Target{ID: s.id}, &addr)
	return addr, err
}

// String says what it is, in the form of the report.
func (s *Sentinel) String() string {
	return s.describe("master, replica and sentinel")
}
