package memory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// bench drives one queue in batches as the core does.
type bench struct {
	d           *Driver
	c           driver.Consumer
	messages    []*driver.Message
	settlements []driver.Settlement
}

func newBench(b *testing.B, batch int, change func(i int, m *driver.Message)) *bench {
	broker, err := NewBroker(Options{MaxBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	d, err := broker.Open()
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	if err := d.Declare(ctx, "q"); err != nil {
		b.Fatal(err)
	}
	c, err := d.Consume(ctx, "q", driver.ConsumeOptions{Lease: time.Minute, Prefetch: batch})
	if err != nil {
		b.Fatal(err)
	}
	s := &bench{d: d, c: c, settlements: make([]driver.Settlement, batch)}
	body := make([]byte, 100)
	for i := range batch {
		m := &driver.Message{
			ID: fmt.Sprintf("01JD%022d", i), Kind: "welcome", Body: body,
			ContentType: "application/json", EnqueuedAt: time.Now(), MaxAttempts: 25,
		}
		if change != nil {
			change(i, m)
		}
		s.messages = append(s.messages, m)
	}
	b.Cleanup(func() { _ = d.Close(ctx) })
	return s
}

func (s *bench) enqueue(b *testing.B, n int) {
	for n > 0 {
		k := min(n, len(s.messages))
		if r := s.d.Enqueue(context.Background(), "q", s.messages[:k]); r != nil {
			b.Fatal(r[0].Err)
		}
		n -= k
	}
}

func (s *bench) process(b *testing.B, n int, outcome driver.Outcome, delay time.Duration) {
	for n > 0 {
		got, err := s.c.Receive(context.Background(), min(n, len(s.settlements)))
		if err != nil {
			b.Fatal(err)
		}
		for i, d := range got {
			s.settlements[i] = driver.Settlement{Delivery: d, Outcome: outcome, Delay: delay}
		}
		if errs := s.c.Settle(context.Background(), s.settlements[:len(got)]); errs != nil {
			b.Fatal(errs[0])
		}
		n -= len(got)
	}
}

func (s *bench) cycle(b *testing.B, n int) {
	for n > 0 {
		k := min(n, len(s.messages))
		s.enqueue(b, k)
		s.process(b, k, driver.OutcomeDone, 0)
		n -= k
	}
}

// BenchmarkCycle is a job's whole way: enqueue, receive, settle.
func BenchmarkCycle(b *testing.B) {
	for _, batch := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			s := newBench(b, batch, nil)
			b.ReportAllocs()
			b.ResetTimer()
			s.cycle(b, b.N)
		})
	}
	changes := map[string]func(i int, m *driver.Message){
		"headers":  func(_ int, m *driver.Message) { m.Headers = map[string]string{"traceparent": "00-abc", "a": "b"} },
		"priority": func(i int, m *driver.Message) { m.Level = driver.Level(i%levels) - 2 },
		"group":    func(i int, m *driver.Message) { m.Group = fmt.Sprint("g", i) },
	}
	for name, change := range changes {
		b.Run(name, func(b *testing.B) {
			s := newBench(b, 64, change)
			b.ReportAllocs()
			b.ResetTimer()
			s.cycle(b, b.N)
		})
	}
}

// BenchmarkBacklog is the same with jobs waiting. The metric ratio is the time
// of a job at a backlog of a million over that at a thousand.
func BenchmarkBacklog(b *testing.B) {
	var base float64
	for _, backlog := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("jobs=%d", backlog), func(b *testing.B) {
			s := newBench(b, 64, nil)
			s.enqueue(b, backlog)
			b.ReportAllocs()
			b.ResetTimer()
			s.cycle(b, b.N)
			perJob := float64(b.Elapsed()) / float64(b.N)
			if backlog == 1_000 {
				base = perJob
			} else if base > 0 {
				b.ReportMetric(perJob/base, "ratio")
			}
		})
	}
}

// BenchmarkSchedule takes the job that is due first and holds it back for a
// random time, with as many scheduled: the cost of a delay over that of none.
func BenchmarkSchedule(b *testing.B) {
	for _, backlog := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("jobs=%d", backlog), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			q := newBench(b, 1, nil).d.broker.queue("q")
			for range backlog {
				q.schedule(new(job), instant(r.Int64N(int64(time.Hour))))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				j := q.scheduled.pop()
				q.schedule(j, j.at+instant(r.Int64N(int64(time.Hour))))
			}
		})
	}
}

// BenchmarkRelease takes jobs and gives them back in front of a backlog.
func BenchmarkRelease(b *testing.B) {
	s := newBench(b, 64, nil)
	s.enqueue(b, 1_000_000)
	b.ReportAllocs()
	b.ResetTimer()
	s.process(b, b.N, driver.OutcomeRelease, 0)
}

// BenchmarkParallel runs a producer and a worker on two handles at once.
func BenchmarkParallel(b *testing.B) {
	s := newBench(b, 64, nil)
	b.ReportAllocs()
	b.ResetTimer()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.process(b, b.N, driver.OutcomeDone, 0)
	}()
	s.enqueue(b, b.N)
	<-done
}
