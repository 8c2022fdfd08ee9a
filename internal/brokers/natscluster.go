package brokers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// natsNodes is the fewest with which servers still agree when one is gone, and how many replicas a
// stream can have.
const natsNodes = 3

// natsRoutes is how far a server's port for the others lies above that for clients.
const natsRoutes = 10000

// A NATSServers is a cluster of three servers with JetStream, on which streams can have three replicas.
type NATSServers struct {
	Nodes []*Instance

	pod *pod
}

// NATSCluster returns a cluster of version v that all tests of the binary share.
func NATSCluster(t testing.TB, v Version) *NATSServers {
	t.Helper()
	return share(t, "nats cluster "+string(v), func(e *engine) (*NATSServers, error) {
		return startNATSCluster(e, v)
	}, nil)
}

// NewNATSCluster starts a cluster for this test alone, which may stop or freeze its nodes.
func NewNATSCluster(t testing.TB, v Version) *NATSServers {
	t.Helper()
	return own(t, func(e *engine) (*NATSServers, error) { return startNATSCluster(e, v) })
}

// URL returns the addresses of all nodes, separated by commas, as clients take them.
func (s *NATSServers) URL() string {
	urls := make([]string, len(s.Nodes))
	for n, node := range s.Nodes {
		urls[n] = node.URL()
	}
	return strings.Join(urls, ",")
}

// Await returns when the cluster takes streams with three replicas, or ctx ends. A node that was
// started again serves clients before that.
func (s *NATSServers) Await(ctx context.Context) error {
	return await(ctx, s.formed)
}

// String says what the cluster is, in the form of the report.
func (s *NATSServers) String() string {
	return s.pod.describe("a cluster of three")
}

func (s *NATSServers) remove(ctx context.Context) error {
	return s.pod.remove(ctx)
}

func startNATSCluster(e *engine, v Version) (*NATSServers, error) {
	s := &NATSServers{}
	p, err := startPod(e, v, natsNodes, s.build)
	if err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}
	s.pod = p
	return s, nil
}

// build starts the servers, each of which knows where the others will be.
func (s *NATSServers) build(ctx context.Context, p *pod, ports []int) error {
	s.Nodes = nil // build runs again when a port was taken
	routes := make([]string, len(ports))
	for n, port := range ports {
		routes[n] = "nats://" + hostPort(port+natsRoutes)
	}
	for n, port := range ports {
		o := natsOptions{args: []string{
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
		node, err := p.add(ctx, &Instance{Addr: hostPort(port), protocol: coreProtocol}, o.request(p.row))
		if err != nil {
			return err
		}
		s.Nodes = append(s.Nodes, node)
	}
	return s.Await(ctx)
}

// formed returns nil when a stream with three replicas can be made, by way of each node.
func (s *NATSServers) formed(ctx context.Context) error {
	for _, node := range s.Nodes {
		if err := node.replicates(ctx); err != nil {
			return fmt.Errorf("%s: %w", node.Addr, err)
		}
	}
	return nil
}

// replicates makes a stream with three replicas and deletes it.
func (i *Instance) replicates(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	conn, err := dialNATS(i)
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
