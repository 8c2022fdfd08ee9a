package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/amqp"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/internal/brokers"
)

const (
	crowdConnections = 20 // drivers, each as a process has one
	crowdJobs        = 20_000
)

// crowd is many consumers of one queue, as of many worker processes.
type crowd struct {
	b      *testing.B
	server *brokers.Instance
	open   func() (driver.Driver, error)
	// commands is how many commands the server has carried out; nil if it does not tell.
	commands func() int
	got      chan time.Time
}

// cpu is how long the server's processes have computed, to a hundredth of a second.
func (c *crowd) cpu() time.Duration {
	out, err := c.server.Exec(c.b.Context(), "sh", "-c", "cat /proc/[0-9]*/stat")
	must(c.b, err)
	ticks := 0
	for line := range strings.Lines(out) {
		fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
		for _, field := range fields[11:13] { // utime and stime
			n, err := strconv.Atoi(field)
			must(c.b, err)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// count is commands, or nothing.
func (c *crowd) count() int {
	if c.commands == nil {
		return 0
	}
	return c.commands()
}

// work is one consumer, until ctx ends.
func (c *crowd) work(ctx context.Context, d driver.Driver) error {
	consumer, err := d.Consume(ctx, "crowd", driver.ConsumeOptions{Lease: 30 * time.Second, Prefetch: 10})
	if err != nil {
		return err
	}
	defer consumer.Close(context.Background())
	for {
		got, err := consumer.Receive(ctx, 10)
		if err != nil {
			return nil
		}
		now := time.Now()
		done := make([]driver.Settlement, len(got))
		for i, g := range got {
			done[i] = driver.Settlement{Delivery: g, Outcome: driver.OutcomeDone}
		}
		for _, err := range consumer.Settle(ctx, done) {
			if err != nil {
				return err
			}
		}
		for range got {
			c.got <- now
		}
	}
}

// run measures with n consumers: idle, one job at a time, and under load.
func (c *crowd) run(n int) {
	b := c.b
	c.got = make(chan time.Time, crowdJobs)
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	var producer driver.Driver
	start := time.Now()
	for i := range crowdConnections {
		d, err := c.open()
		must(b, err)
		defer d.Close(context.Background())
		if producer == nil {
			producer = d
			must(b, d.Declare(b.Context(), "crowd"))
		}
		for range n/crowdConnections + min(max(n%crowdConnections-i, 0), 1) {
			all.Go(func() {
				if err := c.work(ctx, d); err != nil {
					fmt.Println("consumer:", err)
				}
			})
		}
	}
	c.put(producer, 1)
	<-c.got
	time.Sleep(3 * time.Second)
	fmt.Printf("%5d consumers: there after %s\n", n, time.Since(start).Round(time.Millisecond))
	c.idle()
	c.single(producer)
	c.loaded(producer)
}

// put enqueues n jobs.
func (c *crowd) put(d driver.Driver, n int) {
	g := &grower{b: c.b, d: d}
	for _, r := range d.Enqueue(c.b.Context(), "crowd", g.messages(n, 0)) {
		must(c.b, r.Err)
	}
}

// idle measures what consumers that wait cost the server.
func (c *crowd) idle() {
	const long = 5 * time.Second
	cpu, count := c.cpu(), c.count()
	time.Sleep(long)
	fmt.Printf("      idle: server %.2f %% of a core, %d commands a second\n", 100*(c.cpu()-cpu).Seconds()/long.Seconds(), (c.count()-count)/5)
}

// single measures what it takes to wake one of them, for one job at a time.
func (c *crowd) single(d driver.Driver) {
	cpu, count := c.cpu(), c.count()
	took := make([]time.Duration, 200)
	for i := range took {
		at := time.Now()
		c.put(d, 1)
		took[i] = (<-c.got).Sub(at)
		time.Sleep(5 * time.Millisecond)
	}
	slices.Sort(took)
	fmt.Printf("      one at a time: p50 %s p99 %s, server %s a job, %.1f commands\n", took[100], took[198], (c.cpu()-cpu)/200, float64(c.count()-count)/200)
}

// loaded measures how they share jobs that come as fast as sixteen callers can store them.
func (c *crowd) loaded(d driver.Driver) {
	cpu, count, start := c.cpu(), c.count(), time.Now()
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range crowdJobs / 16 / 10 {
				c.put(d, 10)
			}
		})
	}
	for range crowdJobs {
		<-c.got
	}
	elapsed := time.Since(start)
	callers.Wait()
	fmt.Printf("      loaded: %.0f jobs/s, server %s a job, %.2f commands\n", crowdJobs/elapsed.Seconds(), (c.cpu()-cpu)/crowdJobs, float64(c.count()-count)/crowdJobs)
}

// runAll measures with one consumer and with many.
func (c *crowd) runAll() {
	for _, n := range []int{1, 100, 1000} {
		c.run(n)
	}
}

// BenchmarkCrowdRedis is a thousand consumers on Redis.
func BenchmarkCrowdRedis(b *testing.B) {
	sizes(b)
	server := brokers.NewRedis(b, brokers.Redis8, "--appendonly", "no", "--save", "")
	options, err := goredis.ParseURL(server.URL())
	must(b, err)
	raw := goredis.NewClient(options)
	defer raw.Close()
	c := &crowd{b: b, server: server, open: func() (driver.Driver, error) { return redis.Open(b.Context(), server.URL()) }}
	c.commands = func() int {
		n := 0
		for line := range strings.Lines(raw.Info(b.Context(), "stats").Val()) {
			_, _ = fmt.Sscanf(line, "total_commands_processed:%d", &n)
		}
		return n
	}
	c.runAll()
}

// BenchmarkCrowdNATS is a thousand consumers on NATS.
func BenchmarkCrowdNATS(b *testing.B) {
	sizes(b)
	server := brokers.NewNATS(b, brokers.NATS2)
	(&crowd{b: b, server: server, open: func() (driver.Driver, error) { return nats.Open(b.Context(), server.URL()) }}).runAll()
}

// BenchmarkCrowdRabbitMQ is a thousand consumers on RabbitMQ.
func BenchmarkCrowdRabbitMQ(b *testing.B) {
	sizes(b)
	server := brokers.NewRabbitMQ(b, brokers.RabbitMQ4)
	(&crowd{b: b, server: server, open: func() (driver.Driver, error) { return amqp.Open(b.Context(), server.URL()) }}).runAll()
}
