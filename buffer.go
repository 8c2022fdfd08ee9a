package batch

import "sync"

// buffer sits between the fetcher and the slots of a lane. It holds the jobs that
// wait for a slot, and the lane's permits. There is a fixed number of permits, and
// every job has one from before it is received until it is settled. So a slow
// broker or a slow handler stops the fetcher, and nothing grows without bound.
type buffer struct {
	slots, prefetch int

	mu sync.Mutex // guards following
	// hasTasks is where slots wait, and hasPermits where the fetcher does.
	hasTasks, hasPermits sync.Cond
	// tasks are sorted by level, highest first, so that a job of a higher
	// priority overtakes those that were prefetched before it.
	tasks   [levels]fifo
	waiting int
	permits int
	closed  bool
}

// levels is the number of priorities.
const levels = int(Critical-Trivial) + 1

// newBuffer makes a buffer with a permit for each slot and each job to prefetch.
func newBuffer(slots, prefetch int) *buffer {
	b := &buffer{slots: slots, prefetch: prefetch, permits: slots + prefetch}
	b.hasTasks.L, b.hasPermits.L = &b.mu, &b.mu
	return b
}

// bufferOf makes a closed buffer that holds one job.
func bufferOf(t *task) *buffer {
	b := newBuffer(1, 0)
	b.put([]*task{t})
	b.closed = true
	return b
}

// acquire waits for a permit, and takes as many as there are, up to most. While the
// buffer is more than half full it goes on waiting: the slots have work, and the
// permits that become free meanwhile make one larger Receive. It returns 0 when
// the buffer is closed.
func (b *buffer) acquire(most int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed && (b.permits <= 0 || b.waiting > b.prefetch/2) {
		b.hasPermits.Wait()
	}
	if b.closed {
		return 0
	}
	n := min(b.permits, most)
	b.permits -= n
	if b.permits > 0 {
		b.hasPermits.Signal() // for the next receiver: one signal may stand for many permits
	}
	return n
}

// release gives permits back.
func (b *buffer) release(n int) {
	b.mu.Lock()
	b.permits += n
	b.hasPermits.Signal()
	b.mu.Unlock()
}

// put adds jobs. If the buffer is closed it returns false and adds none.
func (b *buffer) put(tasks []*task) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	for _, t := range tasks {
		b.tasks[Critical-t.delivery.Level].push(t)
	}
	b.waiting += len(tasks)
	for range min(len(tasks), b.slots) {
		b.hasTasks.Signal()
	}
	return true
}

// next waits for a job to run. It returns nil when the buffer is closed and empty.
func (b *buffer) next() *task {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed && b.waiting == 0 {
		b.hasTasks.Wait()
	}
	if b.waiting == 0 {
		return nil
	}
	for i := range b.tasks {
		if t := b.tasks[i].pop(); t != nil {
			b.waiting--
			if b.waiting == b.prefetch/2 {
				b.hasPermits.Signal()
			}
			return t
		}
	}
	panic("batch: a buffer counts jobs that it does not have")
}

// close stops the slots from starting jobs and the fetcher from receiving more. It
// returns the jobs that have not started.
func (b *buffer) close() []*task {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	var rest []*task
	for i := range b.tasks {
		for t := b.tasks[i].pop(); t != nil; t = b.tasks[i].pop() {
			rest = append(rest, t)
		}
	}
	b.waiting = 0
	b.hasTasks.Broadcast()
	b.hasPermits.Broadcast()
	return rest
}

// fifo is a queue of tasks that reuses its memory.
type fifo struct {
	tasks []*task
	head  int
}

// push adds a task at the end.
func (f *fifo) push(t *task) { f.tasks = append(f.tasks, t) }

// pop takes the first task, or returns nil if there is none.
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
