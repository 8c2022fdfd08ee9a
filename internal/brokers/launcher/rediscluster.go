package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// clusterSlots is how many hash slots every Redis Cluster divides its keys into.
const clusterSlots = 16384

// clusterMasters is the fewest with which servers still agree when one is gone.
const clusterMasters = 3

// A redisCluster has three masters without replicas.
type redisCluster struct {
	*pod
	nodes []*server
}

func startRedisCluster(ctx context.Context, e *engine, i launch.Image) (*redisCluster, error) {
	c := &redisCluster{}
	p, err := startPod(ctx, e, i, clusterMasters, c.build)
	if err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}
	c.pod = p
	return c, nil
}

// build starts the masters and makes a cluster of them.
func (c *redisCluster) build(ctx context.Context, p *pod, ports []int) error {
	c.nodes = nil // build runs again when a port was taken
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
		c.nodes = append(c.nodes, node)
	}
	return c.form(ctx)
}

// form gives each node its slots and introduces the nodes to each other.
func (c *redisCluster) form(ctx context.Context) error {
	for n, node := range c.nodes {
		first, last := n*clusterSlots/len(c.nodes), (n+1)*clusterSlots/len(c.nodes)-1
		if _, err := askRedis(ctx, &node.Server, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last)); err != nil {
			return err
		}
		// Nodes that meet with the same epoch spend seconds on settling who yields.
		if _, err := askRedis(ctx, &node.Server, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(n+1)); err != nil {
			return err
		}
	}
	for _, node := range c.nodes[1:] {
		host, port, err := net.SplitHostPort(node.Addr)
		if err != nil {
			return err
		}
		if _, err := askRedis(ctx, &c.nodes[0].Server, "CLUSTER", "MEET", host, port); err != nil {
			return err
		}
	}
	return await(ctx, c.formed)
}

// formed returns nil when every node knows all nodes and takes the cluster for complete. A node that
// says so of itself is not enough: a client may ask any of them where a key lives.
func (c *redisCluster) formed(ctx context.Context) error {
	for _, node := range c.nodes {
		info, err := askRedis(ctx, &node.Server, "CLUSTER", "INFO")
		if err != nil {
			return err
		}
		state, size := infoField(info, "cluster_state"), infoField(info, "cluster_size")
		if state != "ok" || size != strconv.Itoa(len(c.nodes)) {
			return fmt.Errorf("%s sees a cluster of %s in state %q", node.Addr, size, state)
		}
	}
	return nil
}
