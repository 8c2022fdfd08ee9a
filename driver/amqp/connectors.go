package amqp

import (
	"cmp"
	"context"
	"sync"
)

// connectors are those of the connections that consume. One has room for some 900
// consumers, as RabbitMQ allows 2047 channels and each consumer has two, and the next is
// made when it is taken. The consumers of one queue share a connection while it has room: those
// on another one are for looker.lock those of another process.
type connectors struct {
	config *config

	mu sync.Mutex // guards following
	// most is how many consumers a connection has room for.
	most   int
	all    []*seats
	placed map[string]*seats // by queue, where the last consumer was placed, if that has some
	closed bool
}

// seats are the consumers of one connection.
type seats struct {
	*connector
	taken map[string]int // consumers by queue
	count int
}

// newConnectors makes connectors, of which first is for all other calls too.
func newConnectors(c *config, first *connector) *connectors {
	all := []*seats{{connector: first, taken: make(map[string]int)}}
	return &connectors{config: c, most: mostConsumers(0), all: all, placed: make(map[string]*seats)}
}

// mostConsumers is how many consumers there may be on a connection with so many channels, of
// which one in eight is for calls. Zero is RabbitMQ's default.
func mostConsumers(channels int) int {
	if channels <= 0 {
		channels = 2047
	}
	return max((channels-channels/8)/2, 1)
}

// limit says how many channels the broker allows on a connection.
func (c *connectors) limit(channels int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = mostConsumers(channels)
}

// take is the connector for one more consumer of a queue, until give.
func (c *connectors) take(queue string) *connector {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.placed[queue]
	if s != nil && s.count >= c.most {
		s = nil
	}
	for _, other := range c.all {
		if s == nil && other.count < c.most {
			s = other
		}
	}
	switch {
	case s != nil:
	case c.closed:
		s = c.all[0]
	default:
		s = &seats{connector: newConnector(c.config, purposeConsuming), taken: make(map[string]int)}
		c.all = append(c.all, s)
	}
	c.placed[queue] = s
	s.taken[queue]++
	s.count++
	return s.connector
}

// give gives back the seat of a consumer of a queue.
func (c *connectors) give(queue string, taken *connector) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.all {
		if s.connector != taken {
			continue
		}
		s.count--
		if s.taken[queue]--; s.taken[queue] > 0 {
			return
		}
		delete(s.taken, queue)
		if c.placed[queue] == s {
			delete(c.placed, queue)
		}
	}
}

// close ends all connections, and keeps others from being made.
func (c *connectors) close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	all := c.all
	c.mu.Unlock()
	errs := make([]error, len(all))
	var closing sync.WaitGroup
	for i, s := range all {
		closing.Go(func() { errs[i] = s.connector.close(ctx) })
	}
	closing.Wait()
	return cmp.Or(errs...)
}
