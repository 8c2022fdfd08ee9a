package bench

import (
	"context"
	"fmt"
	"os"
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
	"github.com/batch-go/batch/driver/nats/embedded"
	"github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/internal/brokers"
)

// growthCalls is how many single calls of each kind are timed at each size.
const growthCalls = 500

// sizes are the backlogs to measure at: those of the environment's GROWTH, numbers with commas
// between them. Without it the benchmark is skipped, as it takes minutes.
func sizes(b *testing.B) []int {
	b.Helper()
	text := os.Getenv("GROWTH")
	if text == "" {
		b.Skip("GROWTH has no sizes, for example 10000,1000000")
	}
	var all []int
	for s := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(s)
		must(b, err)
		all = append(all, n)
	}
	return all
}

// grower fills one queue step by step, and times the calls at each step.
type grower struct {
	b *testing.B
	d driver.Driver
	// delay is that of all jobs that fill it.
	delay time.Duration
	// note is called after each step, with the size and what was done.
	note func(what string, calls int)
	n    int // jobs so far
}

// messages makes jobs.
func (g *grower) messages(n int, delay time.Duration) []*driver.Message {
	list := make([]*driver.Message, n)
	for i := range list {
		list[i] = &driver.Message{ID: fmt.Sprintf("job-%016d", g.n), Kind: "bench", Body: make([]byte, bodySize),
			ContentType: "application/json", EnqueuedAt: time.UnixMilli(time.Now().UnixMilli()), Delay: delay}
		g.n++
	}
	return list
}

// enqueue stores jobs.
func (g *grower) enqueue(list []*driver.Message) {
	for _, r := range g.d.Enqueue(g.b.Context(), "growth", list) {
		must(g.b, r.Err)
	}
}

// fill adds jobs until there are n, by four callers.
func (g *grower) fill(n int) {
	batch := min(g.d.Info().Limits.EnqueueBatch, 1000)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				mu.Lock()
				if g.n >= n {
					mu.Unlock()
					return
				}
				list := g.messages(min(batch, n-g.n), g.delay)
				mu.Unlock()
				g.enqueue(list)
			}
		})
	}
	all.Wait()
}

// timed runs do so many times, and tells the median and the slowest.
func (g *grower) timed(size int, what string, calls int, do func()) {
	took := make([]time.Duration, calls)
	for i := range took {
		start := time.Now()
		do()
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	fmt.Printf("%9d %-22s p50 %9s  p99 %9s  max %9s\n", size, what, took[calls/2].Round(time.Microsecond), took[calls*99/100].Round(time.Microsecond), took[calls-1].Round(time.Microsecond))
	g.note(what, calls)
}

// process receives n jobs and settles them as done.
func (g *grower) process(c driver.Consumer, n int) {
	for n > 0 {
		got, err := c.Receive(g.b.Context(), min(n, g.d.Info().Limits.ReceiveBatch))
		must(g.b, err)
		n -= len(got)
		done := make([]driver.Settlement, len(got))
		for i, d := range got {
			done[i] = driver.Settlement{Delivery: d, Outcome: driver.OutcomeDone}
		}
		for _, err := range c.Settle(g.b.Context(), done) {
			must(g.b, err)
		}
	}
}

// run measures at each size.
func (g *grower) run() {
	ctx := g.b.Context()
	must(g.b, g.d.Declare(ctx, "growth"))
	for _, size := range sizes(g.b) {
		before, start := g.n, time.Now()
		g.fill(size)
		fmt.Printf("%9d filled at %.0f/s\n", size, float64(g.n-before)/time.Since(start).Seconds())
		g.note("fill", g.n-before)
		time.Sleep(5 * time.Second) // a broker may still be writing
		g.timed(size, "enqueue 1", growthCalls, func() { g.enqueue(g.messages(1, g.delay)) })
		g.timed(size, "depth", 100, func() { _, err := g.d.Depth(ctx, "growth"); must(g.b, err) })
		c, err := g.d.Consume(ctx, "growth", driver.ConsumeOptions{Lease: 30 * time.Second, Prefetch: 100})
		must(g.b, err)
		g.timed(size, "enqueue, process 100", growthCalls/5, func() {
			g.enqueue(g.messages(100, 0))
			g.process(c, 100)
		})
		time.Sleep(6 * time.Second) // for the looks that a consumer takes by itself
		g.note("6 s", 1)
		must(g.b, c.Close(ctx))
	}
}

// BenchmarkGrowthRedis is a backlog on Redis of jobs that wait.
func BenchmarkGrowthRedis(b *testing.B) { growRedis(b, 0) }

// BenchmarkGrowthRedisDelayed is one of jobs that are not due.
func BenchmarkGrowthRedisDelayed(b *testing.B) { growRedis(b, 24*time.Hour) }

// growRedis fills a server that keeps everything in memory, by jobs with a delay.
func growRedis(b *testing.B, delay time.Duration) {
	sizes(b)
	server := brokers.NewRedis(b, brokers.Redis8, "--appendonly", "no", "--save", "")
	options, err := goredis.ParseURL(server.URL())
	must(b, err)
	raw := goredis.NewClient(options)
	defer raw.Close()
	d, err := redis.Open(b.Context(), server.URL())
	must(b, err)
	defer d.Close(context.Background())
	g := &grower{b: b, d: d, delay: delay}
	g.note = func(what string, calls int) {
		for line := range strings.Lines(raw.Info(b.Context(), "commandstats").Val()) {
			name, rest, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":")
			var n, us int
			var each float64
			if !found {
				continue
			}
			if _, err := fmt.Sscanf(rest, "calls=%d,usec=%d,usec_per_call=%f", &n, &us, &each); err == nil && n*20 >= calls {
				fmt.Printf("          %s: %d calls of %.1f us\n", name, n, each)
			}
		}
		if what == "fill" {
			var used int
			for line := range strings.Lines(raw.Info(b.Context(), "memory").Val()) {
				_, _ = fmt.Sscanf(line, "used_memory:%d", &used)
			}
			fmt.Printf("          %d MB, %.0f bytes a job\n", used>>20, float64(used)/float64(g.n))
		}
		must(b, raw.ConfigResetStat(b.Context()).Err())
	}
	g.run()
}

// BenchmarkGrowthRabbitMQ is a backlog on RabbitMQ.
func BenchmarkGrowthRabbitMQ(b *testing.B) {
	sizes(b)
	server := brokers.NewRabbitMQ(b, brokers.RabbitMQ4)
	d, err := amqp.Open(b.Context(), server.URL())
	must(b, err)
	defer d.Close(context.Background())
	g := &grower{b: b, d: d}
	g.note = func(string, int) { memoryOf(b, server, g.n) }
	g.run()
}

// BenchmarkGrowthNATS is a backlog on NATS JetStream.
func BenchmarkGrowthNATS(b *testing.B) {
	sizes(b)
	server := brokers.NewNATS(b, brokers.NATS2)
	d, err := nats.Open(b.Context(), server.URL())
	must(b, err)
	defer d.Close(context.Background())
	g := &grower{b: b, d: d}
	g.note = func(string, int) { memoryOf(b, server, g.n) }
	g.run()
}

// BenchmarkGrowthEmbedded is a backlog on JetStream in the process.
func BenchmarkGrowthEmbedded(b *testing.B) {
	sizes(b)
	d, err := embedded.New(b.Context(), b.TempDir(), embedded.Options{})
	must(b, err)
	defer d.Close(context.Background())
	g := &grower{b: b, d: d, note: func(string, int) {}}
	g.run()
}

// memoryOf prints the memory that a server's processes have in use.
func memoryOf(b *testing.B, server *brokers.Instance, n int) {
	out, err := server.Exec(b.Context(), "sh", "-c", "cat /proc/[0-9]*/status")
	must(b, err)
	var sum, kb int
	for line := range strings.Lines(out) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			sum += kb
		}
	}
	fmt.Printf("          %d MB for %d jobs\n", sum>>10, n)
}
