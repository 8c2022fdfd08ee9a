package redis

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakeCluster opens a driver on two fakes, each of which has half of the slots. A test is given
// the second, and the names of a queue on each.
func fakeCluster(t *testing.T, rest func(words []string) []byte) (d *Driver, second *fake, queues [2]string) {
	t.Helper()
	var nodes [2]*fake
	slots := func() []byte {
		var all []any
		for i, node := range nodes {
			host, port, _ := net.SplitHostPort(node.ln.Addr().String())
			n, _ := strconv.Atoi(port)
			all = append(all, []any{int64(8192 * i), int64(8192*i + 8191), []any{host, int64(n), fmt.Sprint("node", i)}})
		}
		return encodeReply(nil, all)
	}
	ready := make(chan struct{}) // closed when both nodes are there
	answer := fit(func(words []string) []byte {
		<-ready
		switch strings.ToLower(words[0]) {
		case "cluster":
			return slots()
		case "command":
			return []byte("*0\r\n")
		}
		return rest(words)
	})
	clustered := func(words []string) []byte {
		if strings.EqualFold(words[0], "info") {
			return bulk("redis_version:7.0.15\r\nredis_mode:cluster\r\nmaxmemory:0\r\n")
		}
		return answer(words)
	}
	for i := range nodes {
		nodes[i] = serve(t, clustered)
	}
	close(ready)
	// The slots of these are 6939 and 15495.
	return openAt(t, "redis+cluster://"+nodes[0].ln.Addr().String()+"?timeout=1m"), nodes[1], [2]string{"b0", "a"}
}

// leave ends a fake for good.
func (f *fake) leave() {
	f.ln.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
}

// TestNodeOfAClusterIsGone: what is asked of the queues of the other nodes is answered.
func TestNodeOfAClusterIsGone(t *testing.T) {
	d, second, queues := fakeCluster(t, func(words []string) []byte {
		switch words[0] {
		case "evalsha":
			return bulk("1")
		case "lpop":
			return bulk("1")
		}
		return []byte("-ERR unknown command\r\n")
	})
	for i, q := range queues {
		if _, errs := d.sweeper.ask([]*watched{{names: d.names(q)}}); errs[0] != nil {
			t.Fatalf("queue %d, before: %v", i, errs[0])
		}
	}
	second.leave()
	found, errs := d.sweeper.ask([]*watched{{names: d.names(queues[1])}, {names: d.names(queues[0])}})
	if errs[0] == nil || errs[1] != nil || found[1] != foundMissing {
		t.Errorf("found %q, %v", found, errs)
	}
	d.ears.limit = 0
	r, l := &round{}, (*listener)(nil)
	var waiters [2]*waiter
	for i, q := range queues {
		c := consume(t, d, q, time.Minute)
		waiters[i] = &waiter{max: 1, served: make(chan served, 1)}
		c.waker.waiting = []*waiter{waiters[i]}
		r.members, l = append(r.members, c.member), c.member.listener
	}
	go l.poll(r)
	if f := <-waiters[0].served; !f.token || f.err != nil {
		t.Errorf("the token of the node that is there: %+v", f)
	}
	if f := <-waiters[1].served; f.err == nil {
		t.Errorf("the token of the node that is gone: %+v", f)
	}
}

// TestNodeOfAClusterDoesNotAnswer: fetches that wait for it keep none from the other nodes, and a
// look at its queues ends soon.
func TestNodeOfAClusterDoesNotAnswer(t *testing.T) {
	var arrived atomic.Int64
	d, second, queues := fakeCluster(t, func(words []string) []byte {
		if words[0] == "evalsha" && strings.HasPrefix(words[3], "batch:{a}") {
			arrived.Add(1)
			return nil
		}
		if words[0] == "evalsha" && words[1] == sweepScript.sha {
			return bulk("1")
		}
		return []byte("*2\r\n:-1\r\n:0\r\n")
	})
	defer second.leave()
	n := mostFetches(poolOf(d.conn.client))
	for range n {
		background(testContext(t), consume(t, d, queues[1], time.Minute), 1)
	}
	eventually(t, "the fetches", func() bool { return arrived.Load() >= int64(n) })
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if _, err := consume(t, d, queues[0], time.Minute).fetch(ctx, 1); err != nil {
		t.Error(err)
	}
	// The commands' own timeout is longer than the test.
	found, errs := d.sweeper.ask([]*watched{{names: d.names(queues[1])}, {names: d.names(queues[0])}})
	if errs[0] == nil || errs[1] != nil || found[1] != foundMissing {
		t.Errorf("found %q, %v", found, errs)
	}
}

// TestListenersOfACluster: those that wait leave half of a node's connections to other calls, even
// if all of their queues are on that node.
func TestListenersOfACluster(t *testing.T) {
	d, _, _ := fakeCluster(t, func([]string) []byte { return []byte(":0\r\n") })
	if half := poolOf(d.conn.client) / 2; d.ears.limit != half {
		t.Errorf("%d may wait, and half of a pool is %d", d.ears.limit, half)
	}
}
