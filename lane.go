package batch

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/coalesce"
)

// lane is a worker's work on one queue: fetchers receive jobs into a buffer,
// slots run them, the keeper extends their leases and the settler tells the
// broker what became of them. Every job held takes one of a fixed number of
// permits, from before it is received until it is settled, so that a slow broker
// or a slow handler stops the fetchers and nothing grows without bound.
type lane struct {
	worker   *Worker
	config   WorkerQueue
	consumer driver.Consumer
	keeper   *keeper
	settler  *coalesce.Coalescer[*settling]
	fetchers sync.WaitGroup
	// quiet is closed when the lane is closed and no slot runs a job any more.
	quiet chan struct{}

	mu sync.Mutex // guards following
	// work is where slots wait for jobs, room where fetchers wait for permits.
	work, room sync.Cond
	// buffer holds received jobs by level, highest first, so that a job of a
	// higher priority overtakes those that were prefetched before it.
	buffer   [levels]fifo
	buffered int
	permits  int
	slots    int
	closed   bool
}

const levels = int(Critical-Trivial) + 1

func newLane(w *Worker, config WorkerQueue) *lane {
	l := &lane{worker: w, config: config, quiet: make(chan struct{}), permits: config.Concurrency + config.Prefetch}
	l.work.L, l.room.L = &l.mu, &l.mu
	return l
}

// open declares the queue and opens the consumer.
func (l *lane) open(ctx context.Context) error {
	if err := l.worker.driver.Declare(ctx, l.config.Name); err != nil {
		return err
	}
	c, err := l.worker.driver.Consume(ctx, l.config.Name, driver.ConsumeOptions{
		Lease: l.config.Lease, Prefetch: l.config.Concurrency + l.config.Prefetch,
	})
	if err != nil {
		return err
	}
	l.consumer = c
	l.keeper = newKeeper(l, c.Lease())
	limits := l.worker.info.Limits
	l.settler = coalesce.New(coalesce.Limits{Items: limits.SettleBatch, Bytes: limits.SettleBatch, Flights: 1}, l.flush)
	return nil
}

// start begins to work. The lane must have been opened.
func (l *lane) start() {
	l.slots = l.config.Concurrency
	for range l.config.Concurrency {
		go l.slot()
	}
	l.keeper.start()
	limits := l.worker.info.Limits
	// One receiver moves ReceiveBatch jobs a round trip; more of them are of use
	// only if the lane can hold more than that.
	receivers := min(limits.Receivers, (l.permits+limits.ReceiveBatch-1)/limits.ReceiveBatch)
	for range max(receivers, 1) {
		l.fetchers.Add(1)
		go l.fetch(l.worker.fetching)
	}
}

// fetch receives jobs until ctx ends.
func (l *lane) fetch(ctx context.Context) {
	defer l.fetchers.Done()
	var b backoff
	for {
		n := l.acquire(l.worker.info.Limits.ReceiveBatch)
		if n == 0 {
			return
		}
		deliveries, err := l.consumer.Receive(ctx, n)
		if len(deliveries) < n {
			l.release(n - len(deliveries))
		}
		l.admit(deliveries)
		if err == nil {
			b = backoff{}
			// The slots that admit woke go first: asking the broker for more would
			// keep this processor busy while they wait for another one to wake up.
			runtime.Gosched()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrClosed) {
			l.worker.fail(err)
			return
		}
		if !l.recover(ctx, err, &b) {
			return
		}
	}
}

// recover waits after a failed Receive and reports it. A queue that somebody
// dropped is declared again: enqueueing does so too, and workers that are there
// already must not miss what is enqueued then.
func (l *lane) recover(ctx context.Context, err error, b *backoff) bool {
	if errors.Is(err, ErrNotFound) {
		if again := l.worker.driver.Declare(ctx, l.config.Name); again != nil {
			err = again
		}
	}
	d := b.next()
	l.worker.hooks.onFault(ctx, Fault{Queue: l.config.Name, Op: "receive", Err: err, RetryIn: d})
	return sleep(ctx, d)
}

// acquire takes up to most permits, as many as there are, and waits for the
// first. It waits on while the buffer is more than half full: the slots have
// work, and the permits that come free meanwhile make one larger Receive. It
// returns 0 when the lane is closed.
func (l *lane) acquire(most int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && (l.permits == 0 || l.buffered > l.config.Prefetch/2) {
		l.room.Wait()
	}
	if l.closed {
		return 0
	}
	n := min(l.permits, most)
	l.permits -= n
	if l.permits > 0 {
		l.room.Signal() // for the next fetcher: one signal may stand for many permits
	}
	return n
}

// release gives permits back.
func (l *lane) release(n int) {
	l.mu.Lock()
	l.permits += n
	l.room.Signal()
	l.mu.Unlock()
}

// admit takes received jobs into the buffer. On a lane that was closed
// meanwhile they are given back.
func (l *lane) admit(deliveries []*driver.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	tasks := make([]*task, len(deliveries))
	for i, d := range deliveries {
		tasks[i] = l.newTask(d)
	}
	l.keeper.add(tasks)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.giveBack(tasks)
		return
	}
	for _, t := range tasks {
		l.buffer[Critical-t.job.Priority].push(t)
	}
	l.buffered += len(tasks)
	for range min(len(tasks), l.slots) {
		l.work.Signal()
	}
	l.mu.Unlock()
}

// next waits for a job to run; nil says that the lane is closed.
func (l *lane) next() *task {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && l.buffered == 0 {
		l.work.Wait()
	}
	if l.closed {
		return nil
	}
	for i := range l.buffer {
		if t := l.buffer[i].pop(); t != nil {
			l.buffered--
			if l.buffered == l.config.Prefetch/2 {
				l.room.Signal()
			}
			return t
		}
	}
	panic("batch: a lane counts jobs that it does not have")
}

// close stops the slots from starting more jobs, and gives back those that have
// not started.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	var rest []*task
	for i := range l.buffer {
		for t := l.buffer[i].pop(); t != nil; t = l.buffer[i].pop() {
			rest = append(rest, t)
		}
	}
	l.buffered = 0
	if l.slots == 0 {
		close(l.quiet)
	}
	l.work.Broadcast()
	l.room.Broadcast()
	l.mu.Unlock()
	l.giveBack(rest)
}

// giveBack releases jobs that were not started.
func (l *lane) giveBack(tasks []*task) {
	for _, t := range tasks {
		if !t.state.CompareAndSwap(taskBuffered, taskReturned) {
			l.finish(t)
			continue
		}
		v, err := decide(facts{stage: unstarted, failures: t.delivery.Failures})
		l.conclude(t, v, err, false, 0)
	}
}

// leave counts a slot out: its goroutine ends, or was left behind.
func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots--
	if l.closed && l.slots == 0 {
		close(l.quiet)
	}
}

// replace puts a new slot in the place of one that was left behind, unless the
// lane is closed.
func (l *lane) replace() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.leave()
		return
	}
	l.mu.Unlock()
	go l.slot()
}

// running counts the jobs in slots.
func (l *lane) running() int {
	n := 0
	for _, t := range l.keeper.held() {
		if t.state.Load() == taskRunning {
			n++
		}
	}
	return n
}

// fifo is a queue of tasks that reuses its memory.
type fifo struct {
	tasks []*task
	head  int
}

func (f *fifo) push(t *task) { f.tasks = append(f.tasks, t) }

func (f *fifo) pop() *task {
	if f.head == len(f.tasks) {
		return nil
	}
	t := f.tasks[f.head]
	f.tasks[f.head] = nil
	f.head++
	switch {
	case f.head == len(f.tasks):
		f.tasks, f.head = f.tasks[:0], 0
	case f.head > len(f.tasks)/2 && f.head > 64:
		n := copy(f.tasks, f.tasks[f.head:])
		clear(f.tasks[n:])
		f.tasks, f.head = f.tasks[:n], 0
	}
	return t
}
