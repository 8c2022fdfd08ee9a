package brokers

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
)

// clusterSlots is how many hash slots every Redis Cluster divides its keys into.
const clusterSlots = 16384

// clusterMasters is the fewest with which servers still agree when one is gone.
const clusterMasters = 3

// A Cluster is a Redis Cluster of three masters without replicas: keys are spread over three servers,
// and those of a server that stops cannot be reached until it starts again.
type Cluster struct {
	// Nodes are the masters. A third of the slots belongs to each, in this order.
	Nodes []*Instance

	pod *pod
}

// RedisCluster returns a cluster of version v that all tests of the binary share.
func RedisCluster(t testing.TB, v Version) *Cluster {
	t.Helper()
	return share(t, "redis cluster "+string(v), func(e *engine) (*Cluster, error) {
		return startRedisCluster(e, v)
	}, nil)
}

// NewRedisCluster starts a cluster for this test alone, which may stop or freeze its nodes.
func NewRedisCluster(t testing.TB, v Version) *Cluster {
	t.Helper()
	return own(t, func(e *engine) (*Cluster, error) { return startRedisCluster(e, v) })
}

// Addrs returns the addresses of the nodes, as cluster clients take them.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for n, node := range c.Nodes {
		addrs[n] = node.Addr
	}
	return addrs
}

// String says what the cluster is, in the form of the report.
func (c *Cluster) String() string {
	return c.pod.describe("a cluster of three masters")
}

func (c *Cluster) remove(ctx context.Context) error {
	return c.pod.remove(ctx)
}

func startRedisCluster(e *engine, v Version) (*Cluster, error) {
	c := &Cluster{}
	p, err := startPod(e, v, clusterMasters, c.build)
	if err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}
	c.pod = p
	return c, nil
}

// build starts the masters and makes a cluster of them.
func (c *Cluster) build(ctx context.Context, p *pod, ports []int) error {
	c.Nodes = nil // build runs again when a port was taken
	for _, port := range ports {
		node, err := p.addRedis(ctx, port, redisOptions{args: []string{
			"--cluster-enabled", "yes",
			"--cluster-announce-ip", loopback.String(),
			// How long a node is missed before the others call it failed. The default of 15 s makes every
			// fault test as slow; much less, and a busy machine fails nodes that only wait for a core.
			"--cluster-node-timeout", "3000",
		}})
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c.form(ctx)
}

// form gives each node its slots and introduces the nodes to each other.
func (c *Cluster) form(ctx context.Context) error {
	for n, node := range c.Nodes {
		first, last := n*clusterSlots/len(c.Nodes), (n+1)*clusterSlots/len(c.Nodes)-1
		if _, err := node.ask(ctx, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last)); err != nil {
			return err
		}
		// Nodes that meet with the same epoch spend seconds on settling who yields.
		if _, err := node.ask(ctx, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(n+1)); err != nil {
			return err
		}
	}
	for _, node := range c.Nodes[1:] {
		host, port, err := net.SplitHostPort(node.Addr)
		if err != nil {
			return err
		}
		if _, err := c.Nodes[0].ask(ctx, "CLUSTER", "MEET", host, port); err != nil {
			return err
		}
	}
	return await(ctx, c.formed)
}

// formed returns nil when every node knows all nodes and takes the cluster for complete. A node that
// says so of itself is not enough: a client may ask any of them where a key lives.
func (c *Cluster) formed(ctx context.Context) error {
	for _, node := range c.Nodes {
		info, err := node.ask(ctx, "CLUSTER", "INFO")
		if err != nil {
			return err
		}
		state, size := infoField(info, "cluster_state"), infoField(info, "cluster_size")
		if state != "ok" || size != strconv.Itoa(len(c.Nodes)) {
			return fmt.Errorf("%s sees a cluster of %s in state %q", node.Addr, size, state)
		}
	}
	return nil
}
