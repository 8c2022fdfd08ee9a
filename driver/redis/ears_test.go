package redis

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// sharing opens a driver whose consumers have so many listeners, and are woken by tokens only:
// the looks that they take in any case would come later than the test ends.
func sharing(t testing.TB, address string, listeners int) *Driver {
	t.Helper()
	d := openAt(t, address)
	d.ears.limit = listeners
	d.ears.block, d.ears.patience = time.Hour, time.Hour
	d.sweeper.look = time.Hour
	return d
}

// used declares a queue that has had a job, so that the next one is stored without a script. It
// leaves no token.
func used(t testing.TB, d *Driver, r goredis.UniversalClient, q string) {
	t.Helper()
	declare(t, d, q)
	con := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("first"))
	done(t, con, receive(t, con, 1)...)
	if err := con.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.Del(testContext(t), d.names(q).wake).Err(); err != nil {
		t.Fatal(err)
	}
}

// connections is how many clients the server has.
func connections(t testing.TB, r *goredis.Client) int {
	t.Helper()
	list, err := r.ClientList(testContext(t)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(list, "\n")
}

// listening waits until so many consumers are named in the BLPOPs that are under way.
func listening(t testing.TB, d *Driver, consumers int) {
	t.Helper()
	eventually(t, "all to be waited for", func() bool {
		n := 0
		d.ears.mu.Lock()
		defer d.ears.mu.Unlock()
		for _, l := range d.ears.listeners {
			l.mu.Lock()
			if l.round != nil {
				n += len(l.round.members)
			}
			l.mu.Unlock()
		}
		return n == consumers
	})
}

// TestConnectionsDoNotGrowWithQueues: a process that waits for jobs of 300 queues has a few
// connections and no goroutines of the driver for each, and each queue's first job comes by its
// token.
func TestConnectionsDoNotGrowWithQueues(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	d, r := sharing(t, server.URL(), mostListeners), rawAt(t, server.URL()).(*goredis.Client)
	const queues = 300
	names, waits := make([]string, queues), make([]chan received, queues)
	consumers := make([]*consumer, queues)
	before := runtime.NumGoroutine()
	for i := range queues {
		names[i] = fmt.Sprintf("q%d", i)
		declare(t, d, names[i])
		consumers[i] = consume(t, d, names[i], time.Minute)
		waits[i] = background(testContext(t), consumers[i], 10)
	}
	listening(t, d, queues)
	if n := blocked(t, r, d, ""); n != mostListeners {
		t.Errorf("%d BLPOPs wait", n)
	}
	if n := connections(t, r); n > mostListeners+mostFetching+10 {
		t.Errorf("there are %d connections", n)
	}
	// Each wait of this test is a goroutine, and its context may have one.
	if n := runtime.NumGoroutine() - before; n > 2*queues+150 {
		t.Errorf("there are %d goroutines more", n)
	}
	for i, name := range names {
		enqueue(t, d, name, message(fmt.Sprint(i)))
		if got := await(t, waits[i]); got[0].ID != fmt.Sprint(i) {
			t.Fatalf("received %v", ids(got))
		}
	}
	t.Logf("%d connections", connections(t, r))
}

// TestPickUpCosts: a job of an idle queue is picked up by the BLPOP that waits and one script,
// also where many queues share the BLPOP: that is two round trips.
func TestPickUpCosts(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	c.d.ears.limit, c.d.ears.block, c.d.ears.patience = 1, time.Hour, time.Hour
	waits, consumers := make([]chan received, 20), make([]*consumer, 20)
	for i := range waits {
		q := fmt.Sprintf("q%d", i)
		used(t, c.d, c.r, q)
		consumers[i] = consume(t, c.d, q, time.Hour)
		<-c.d.sweeper.take(consumers[i].waker) // what it does is not counted
		waits[i] = background(testContext(t), consumers[i], 10)
	}
	listening(t, c.d, len(waits))
	pops := func() int { return c.called("blpop") }
	before := pops()
	n := c.count(func() {
		for i := range waits {
			enqueue(t, c.d, fmt.Sprintf("q%d", i), message("a"))
			await(t, waits[i])
		}
	})
	if most := len(waits); n.scripts > most {
		t.Errorf("%d jobs took %d scripts", len(waits), n.scripts)
	}
	if more := pops() - before; more > len(waits) {
		t.Errorf("%d jobs took %d BLPOPs", len(waits), more)
	}
}

// TestTokenIsPassedOn: the token of a consumer that does not wait any more goes to another.
func TestTokenIsPassedOn(t *testing.T) {
	t.Parallel()
	address := brokers.NewRedis(t, brokers.Redis8).URL()
	d, other := sharing(t, address, 1), sharing(t, address, 1)
	used(t, d, rawAt(t, address), "a")
	declare(t, d, "b")
	busy, idle := consume(t, d, "a", time.Minute), consume(t, d, "b", time.Minute)
	first := background(testContext(t), busy, 10)
	background(testContext(t), idle, 1)
	listening(t, d, 2)
	enqueue(t, other, "a", message("1"))
	await(t, first)
	// The BLPOP still names a, as busy would mostly wait again by now, and came first.
	listening(t, d, 2)
	second := background(testContext(t), consume(t, other, "a", time.Minute), 10)
	listening(t, other, 1)
	enqueue(t, other, "a", message("2"))
	if got := await(t, second); got[0].ID != "2" {
		t.Fatalf("received %v", ids(got))
	}
	listening(t, d, 1) // the first was passed on
	// It waits again, and is named.
	third := background(testContext(t), busy, 10)
	listening(t, d, 2)
	enqueue(t, other, "a", message("3"))
	await(t, third)
}

// TestTokenOfAnEndedCall: a token that came for a call whose ctx ended is for the next.
func TestTokenOfAnEndedCall(t *testing.T) {
	t.Parallel()
	address := brokers.NewRedis(t, brokers.Redis8).URL()
	d, other := sharing(t, address, 1), sharing(t, address, 1)
	declare(t, d, "a")
	declare(t, d, "b")
	c, idle := consume(t, d, "a", time.Minute), consume(t, d, "b", time.Minute)
	background(testContext(t), idle, 1)
	o := consume(t, other, "a", time.Minute)
	for i := range 100 {
		ctx, cancel := context.WithCancel(testContext(t))
		ch := background(ctx, c, 1)
		listening(t, d, 2)
		second := background(testContext(t), o, 1)
		listening(t, other, 1)
		sent := make(chan struct{})
		go func() { defer close(sent); enqueue(t, d, "a", message(fmt.Sprint(i))) }()
		if i%2 == 0 {
			<-sent
		}
		cancel()
		got := <-ch
		<-sent
		if got.err == nil {
			done(t, c, got.got...)
			enqueue(t, d, "a", message("rest"))
		}
		more := await(t, second)
		if more[0].Deliveries != 1 {
			t.Fatalf("received %+v", more[0])
		}
		done(t, o, more...)
		depth(t, d, "a", driver.Depth{})
	}
}

// waiting makes queues q0 and so on, with a Receive that waits on each.
func waiting(t *testing.T, d *Driver, n int) []chan received {
	t.Helper()
	waits := make([]chan received, n)
	for i := range waits {
		q := fmt.Sprintf("q%d", i)
		declare(t, d, q)
		waits[i] = background(testContext(t), consume(t, d, q, time.Minute), 1)
	}
	return waits
}

// TestSmallPool: consumers that wait leave connections to what is to be stored, and there are no
// more connections than the user allows.
func TestSmallPool(t *testing.T) {
	t.Parallel()
	address := brokers.NewRedis(t, brokers.Redis8).URL()
	d := openAt(t, withParam(t, address, "pool_size", "2"))
	waits := waiting(t, d, 20)
	listening(t, d, 20)
	for i := range waits {
		enqueue(t, d, fmt.Sprintf("q%d", i), message("a"))
		await(t, waits[i])
	}
	if s := d.conn.client.(*goredis.Client).PoolStats(); s.Timeouts > 0 {
		t.Errorf("%d calls had no connection in time", s.Timeouts)
	}
	if n := connections(t, rawAt(t, address).(*goredis.Client)) - 1; n > 2 {
		t.Errorf("there are %d connections", n)
	}
	one := goredis.NewClient(&goredis.Options{Addr: strings.TrimPrefix(address, "redis://"), PoolSize: 1})
	defer one.Close()
	if _, err := New(testContext(t), one, Options{}); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("a pool of one: %v", err)
	}
}

// TestBeyondTheListenersOfACluster: consumers that have no connection to wait on are asked for.
func TestBeyondTheListenersOfACluster(t *testing.T) {
	t.Parallel()
	address := clusterURL(brokers.NewRedisCluster(t, brokers.Redis8).Addrs())
	d := sharing(t, address, 2)
	waits := waiting(t, d, 12)
	listening(t, d, 2)
	for i := range waits {
		enqueue(t, d, fmt.Sprintf("q%d", i), message("a"))
	}
	for i := range waits {
		await(t, waits[i])
	}
}
