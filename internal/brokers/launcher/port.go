package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Host ports are chosen here and not by the engine, because the engine gives a container another port
// each time it starts, and a broker that restarts must come back where its clients look for it. They
// lie below the range that systems take for outgoing connections: a client that keeps dialling the
// port of a stopped broker would otherwise end up connected to itself, and hold the port. The bus of
// a Redis Cluster is 10000 above and stays clear of them.
const (
	firstPort = 20000
	lastPort  = 29999
)

// portAttempts bounds the search for free ports, and the starts that lose the race for one: between
// choosing and starting, another process may take it.
const portAttempts = 5

// loopback is where ports are published: a test broker without a password is nobody else's business.
var loopback = netip.MustParseAddr("127.0.0.1")

var givenPorts = struct {
	sync.Mutex
	// guards following
	given map[int]bool
}{given: make(map[int]bool)}

// freePort returns a port that nothing listens on and that this process was not given before.
func freePort() (int, error) {
	givenPorts.Lock()
	defer givenPorts.Unlock()
	const tries = 1000
	for range tries {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if givenPorts.given[port] {
			continue
		}
		listener, err := net.Listen("tcp", hostPort(port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, err
		}
		givenPorts.given[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

func hostPort(port int) string {
	return net.JoinHostPort(loopback.String(), strconv.Itoa(port))
}

// withFreePorts calls start with n free ports, and again with others when one was taken meanwhile.
func withFreePorts[T any](n int, start func(ports []int) (T, error)) (T, error) {
	var (
		value T
		errs  []error
	)
	for range portAttempts {
		ports := make([]int, n)
		for i := range ports {
			port, err := freePort()
			if err != nil {
				return value, err
			}
			ports[i] = port
		}
		started, err := start(ports)
		if err == nil {
			return started, nil
		}
		errs = append(errs, err)
		if !isPortTaken(err) {
			break
		}
	}
	return value, errors.Join(errs...)
}

// isPortTaken goes by the engine's text, because the engine has no code for it.
func isPortTaken(err error) bool {
	text := err.Error()
	return strings.Contains(text, "port is already allocated") || strings.Contains(text, "address already in use")
}

// publish returns a modifier that makes ports of a container reachable on the loopback interface:
// pairs of the port inside and the port outside.
func publish(ports map[int]int) (exposed []string, modifier func(*container.HostConfig)) {
	bindings := make(network.PortMap, len(ports))
	for inside, outside := range ports {
		name := strconv.Itoa(inside) + "/tcp"
		exposed = append(exposed, name)
		bindings[network.MustParsePort(name)] = []network.PortBinding{{HostIP: loopback, HostPort: strconv.Itoa(outside)}}
	}
	return exposed, func(host *container.HostConfig) { host.PortBindings = bindings }
}
