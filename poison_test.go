package batch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// deadly is a broker whose workers are killed by some of the jobs. A process that
// dies is a crash of the broker: the worker's handle is cut off, and what it held is
// handed out again, counted as lost.
type deadly struct {
	broker  *memory.Broker
	queues  []string
	killers map[int]bool
	takes   func() time.Duration // how long a job runs before it ends or kills

	mu       sync.Mutex // guards following
	ran      map[int]int
	restarts int
}

func newDeadly(t *testing.T, queues ...string) *deadly {
	t.Helper()
	broker, err := memory.NewBroker(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &deadly{
		broker: broker, queues: queues, killers: make(map[int]bool), ran: make(map[int]int),
		takes: func() time.Duration { return 0 },
	}
}

// open makes a handle.
func (d *deadly) open(t *testing.T) *memory.Driver {
	t.Helper()
	handle, err := d.broker.Open()
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

// enqueue stores a job.
func (d *deadly) enqueue(t *testing.T, queue string, n int) {
	t.Helper()
	if _, err := batch.NewQueue(d.open(t), queue).Enqueue(t.Context(), task{n}); err != nil {
		t.Fatal(err)
	}
}

// process runs one worker until a job kills it or no job is left. It reports whether
// it was killed.
func (d *deadly) process(t *testing.T, config batch.WorkerConfig) (died bool) {
	t.Helper()
	killed := make(chan struct{})
	w := batch.NewWorker(d.open(t), config)
	batch.Handle(w, func(ctx context.Context, job *batch.Job[task]) error {
		if !sleepIn(ctx, d.takes()) {
			return ctx.Err() // the process has died
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		select {
		case <-killed:
			return errors.New("the process has died")
		default:
		}
		d.ran[job.Args.N]++
		if d.killers[job.Args.N] {
			d.broker.Crash()
			close(killed)
		}
		return nil
	})
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for !died && d.left(t) > 0 {
		select {
		case <-killed:
			died = true
		case <-time.After(time.Second): // fake time
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if died {
		cancel()
	}
	defer cancel()
	if err := w.Stop(ctx); err != nil && !died {
		t.Errorf("Stop = %v", err)
	}
	return died
}

// sleepIn sleeps, and reports false if ctx ended first.
func sleepIn(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// left is how many jobs are not done and not dead.
func (d *deadly) left(t *testing.T) (n int64) {
	t.Helper()
	for _, name := range d.queues {
		depth := d.depthOf(t, name)
		n += depth.Waiting + depth.Scheduled + depth.Running
	}
	return n
}

// depthOf counts the jobs of a queue.
func (d *deadly) depthOf(t *testing.T, queue string) batch.Depth {
	t.Helper()
	for {
		handle := d.open(t)
		depth, err := handle.Depth(context.Background(), queue)
		_ = handle.Close(context.Background())
		if err == nil {
			return depth
		}
		if !errors.Is(err, batch.ErrUnavailable) { // a job killed its worker meanwhile
			t.Fatal(err)
		}
	}
}

// run starts a worker again each time that it is killed, until no job is left, and
// returns the numbers of the dead jobs.
func (d *deadly) run(t *testing.T, config batch.WorkerConfig) (dead []int) {
	t.Helper()
	config.Log = silent
	for d.process(t, config) {
		if d.restarts++; d.restarts > 200 {
			t.Fatal("the worker was killed 200 times")
		}
	}
	for _, name := range d.queues {
		letters, _, err := d.open(t).DeadLetters(t.Context(), name, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			n := -1
			_, err := fmt.Sscanf(string(l.Body), `{"N":%d}`, &n)
			if err != nil || l.Reason != batch.ReasonPoison {
				t.Errorf("dead letter %s: %q, reason %q", l.ID, l.Body, l.Reason)
			}
			dead = append(dead, n)
		}
	}
	slices.Sort(dead)
	return dead
}

// A job that kills its worker stands before ten others, which are prefetched behind
// it whenever the worker starts. Only that job may die.
func TestOnlyTheJobThatKillsIsPoison(t *testing.T) {
	for _, most := range []int{1, 2, 3, 20} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDeadly(t, "tasks")
				d.killers[0] = true
				for n := range 11 {
					d.enqueue(t, "tasks", n)
				}
				dead := d.run(t, batch.WorkerConfig{
					Queues:          []batch.WorkerQueue{{Name: "tasks", Concurrency: 1, Prefetch: 10}},
					MaxRedeliveries: most,
				})
				if !slices.Equal(dead, []int{0}) || d.restarts != most+1 {
					t.Errorf("dead = %v after %d restarts, want [0] after %d", dead, d.restarts, most+1)
				}
				for n := 1; n < 11; n++ {
					if d.ran[n] != 1 {
						t.Errorf("job %d ran %d times, want once", n, d.ran[n])
					}
				}
			})
		})
	}
}

// Two jobs that kill are anywhere among a hundred, on three queues.
func TestTwoThatKillAmongAHundred(t *testing.T) {
	for _, most := range []int{2, 3, 20} {
		for range 5 {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%d/%d", most, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewPCG(seed, 1))
					d := newDeadly(t, "one", "two", "three")
					var mu sync.Mutex
					d.takes = func() time.Duration {
						mu.Lock()
						defer mu.Unlock()
						return time.Duration(random.IntN(300)) * time.Millisecond
					}
					killers := random.Perm(102)[:2]
					for _, n := range killers {
						d.killers[n] = true
					}
					for n := range 102 {
						d.enqueue(t, d.queues[random.IntN(3)], n)
					}
					dead := d.run(t, batch.WorkerConfig{
						Queues: []batch.WorkerQueue{
							{Name: "one", Concurrency: 3}, {Name: "two", Concurrency: 1, Prefetch: 7}, {Name: "three", Concurrency: 5, Prefetch: batch.NoPrefetch},
						},
						MaxRedeliveries: most,
					})
					slices.Sort(killers)
					if !slices.Equal(dead, killers) {
						t.Errorf("dead = %v, want %v", dead, killers)
					}
					for n := range 102 {
						if d.ran[n] == 0 {
							t.Errorf("job %d never ran", n)
						}
					}
				})
			})
		}
	}
}

// lose stores jobs, and has a holder of all of them vanish as often as it takes to
// suspect them.
func (d *deadly) lose(t *testing.T, queue string, times int, jobs ...int) {
	t.Helper()
	for _, n := range jobs {
		d.enqueue(t, queue, n)
	}
	for range times {
		c, err := d.open(t).Consume(t.Context(), queue, driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Receive(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
		d.broker.Crash()
	}
}
