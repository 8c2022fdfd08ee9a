package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// natsNodes is the fewest with which servers still agree when one is gone, and how many replicas a
// stream can have.
const natsNodes = 3

// natsRoutes is how far a server's port for the others lies above that for clients.
const natsRoutes = 10000

// A natsCluster has three servers with JetStream, on which streams can have three replicas.
type natsCluster struct {
	*pod
	nodes []*server
}

func startNATSCluster(ctx context.Context, e *engine, i launch.Image) (*natsCluster, error) {
	c := &natsCluster{}
	p, err := startPod(ctx, e, i, natsNodes, c.build)
	if err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}
	c.pod = p
	return c, nil
}

// build starts the servers, each of which knows where the others will be.
func (c *natsCluster) build(ctx context.Context, p *pod, ports []int) error {
	c.nodes = nil // build runs again when a port was taken
	routes := make([]string, len(ports))
	for n, port := range ports {
		routes[n] = "nats://" + hostPort(port+natsRoutes)
	}
	for n, port := range ports {
		o := natsOptions{command: p.command, args: []string{
			"--addr", "0.0.0.0", "--port", strconv.Itoa(port),
			"--server_name", fmt.Sprint("node-", n+1),
			"--cluster_name", "batch",
			"--cluster", routes[n],
			"--routes", strings.Join(routes, ","),
			// Clients learn of the nodes from each other. Without this they would learn the address inside.
			"--client_advertise", hostPort(port),
			"--store_dir", fmt.Sprint("/data/node-", n+1),
		}}
		// A node has no JetStream until most of them are there.
		s := &server{greet: greetNATS, Server: launch.Server{Protocol: launch.NATS, Addr: hostPort(port)}}
		node, err := p.add(ctx, s, o.request())
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, node)
	}
	return await(ctx, c.formed)
}

// formed returns nil when a stream with three replicas can be made, by way of each node.
func (c *natsCluster) formed(ctx context.Context) error {
	for _, node := range c.nodes {
		if err := replicates(ctx, &node.Server); err != nil {
			return fmt.Errorf("%s: %w", node.Addr, err)
		}
	}
	return nil
}

// replicates makes a stream with three replicas and deletes it.
func replicates(ctx context.Context, s *launch.Server) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	conn, err := dialNATS(s)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	const name = "batch-test-cluster-formed"
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}, Replicas: natsNodes})
	if err != nil {
		return err
	}
	if err := js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	return nil
}
