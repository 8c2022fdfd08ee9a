package batch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fifo"
)

// buffer sits between the fetcher and the slots of a lane. It holds the jobs that
// wait for a slot, and the lane's permits. There are as many permits as slots and jobs
// to fetch ahead, and every job has one from before it is received until it is settled.
// So a slow broker or a slow handler stops the fetcher, and nothing grows without bound.
type buffer struct {
	slots int
	// quiet is closed when the buffer is closed and no slot runs.
	quiet chan struct{}
	// giveBack takes jobs that have waited for too long, and giving counts its calls. It is
	// nil if jobs may wait as long as it takes.
	giveBack func([]*task)
	giving   sync.WaitGroup

	mu sync.Mutex // guards following
	// hasPermits is where the fetcher waits.
	hasPermits sync.Cond
	ahead      ahead
	// plenty says that the last Receive has returned many jobs, so that the queue has more.
	plenty bool
	// tasks are sorted by level, highest first, so that a job of a higher
	// priority overtakes those that were prefetched before it.
	tasks   [levels]fifo.Queue[*task]
	waiting int
	// held is how many permits are not free.
	held int
	// running is how many slots run, and allowed how many may: none before open.
	running, allowed int
	closed           bool
	// aging rings when a job may have waited for too long; set says that it will.
	aging alarm
	set   bool
}

// levels is the number of priorities.
const levels = int(Critical-Trivial) + 1

// newBuffer makes a buffer with slots and what is fetched ahead for them.
func newBuffer(slots int, a ahead) *buffer {
	b := &buffer{slots: slots, ahead: a, quiet: make(chan struct{})}
	b.hasPermits.L = &b.mu
	b.ahead.slots = slots
	if b.ahead.shown == nil {
		b.ahead.shown = new(atomic.Int64)
	}
	b.ahead.begin(time.Now())
	return b
}

// bufferOf makes a closed buffer that holds one job, with a slot that is about to start.
func bufferOf(t *task) *buffer {
	b := newBuffer(1, ahead{})
	b.open()
	b.put([]*task{t})
	b.closed = true
	return b
}

// open lets slots start.
func (b *buffer) open() {
	b.mu.Lock()
	b.allowed = b.slots
	b.mu.Unlock()
}

// acquire takes as many permits as there are, up to most. If there are none it waits, unless
// the caller is only to help, and returns 0 when the buffer is closed. While the
// buffer is more than half full it goes on waiting: the slots have work, and the
// permits that become free meanwhile make one larger Receive.
//
// On a queue that has not plenty it takes only as many as slots have use for within a moment:
// the Receive may wait, and whatever comes then in one burst goes to this worker. brief says
// that the permits are more than that, and the Receive must not wait for long.
func (b *buffer) acquire(most int, helps bool) (n int, brief bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.ahead.adapt(time.Now())
	}
	for !b.closed && !b.hasRoom() {
		if helps {
			return 0, false
		}
		b.hasPermits.Wait()
		if !b.closed {
			b.ahead.adapt(time.Now())
		}
	}
	if b.closed {
		return 0, false
	}
	n = min(b.free(), most)
	if modest := max(b.slots+b.ahead.few-b.held, 1); n > modest && !b.ahead.fixed() {
		if brief = b.plenty; !brief {
			n = modest
		}
	}
	b.held += n
	if b.free() > 0 {
		b.hasPermits.Signal() // for the next receiver: one signal may stand for many permits
	}
	return n, brief
}

// free is how many permits there are, less than none if fewer jobs are fetched ahead than
// before. b.mu must be held.
func (b *buffer) free() int { return b.slots + b.ahead.size - b.held }

// hasRoom reports whether the fetcher should go on. b.mu must be held.
func (b *buffer) hasRoom() bool { return b.free() > 0 && b.waiting <= b.ahead.size/2 }

// receivers is how many Receive calls of most jobs may be under way at present: none if there
// is no room for another, and one if the queue has not plenty.
func (b *buffer) receivers(most int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || !b.hasRoom() {
		return 0
	}
	if !b.plenty {
		return 1
	}
	return (b.slots + b.ahead.size) / most
}

// release gives permits back.
func (b *buffer) release(n int) {
	b.mu.Lock()
	b.held -= n
	b.hasPermits.Signal()
	b.mu.Unlock()
}

// fetched notes a Receive that took a time, and for which asked permits were taken.
func (b *buffer) fetched(took time.Duration, asked int, deliveries []*driver.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.plenty = 2*len(deliveries) >= min(asked, b.slots)
	if b.ahead.fixed() {
		return
	}
	bytes := 0
	for _, d := range deliveries {
		bytes += len(d.Body)
	}
	b.ahead.fetched(took, asked, len(deliveries), bytes)
}

// settled notes a Settle that took a time.
func (b *buffer) settled(took time.Duration) {
	if b.giveBack == nil {
		return
	}
	b.mu.Lock()
	b.ahead.settled(took)
	b.mu.Unlock()
}

// put adds jobs, and returns how many slots are to be started for them: they count as
// running from here on. If the buffer is closed it returns false and adds none.
func (b *buffer) put(tasks []*task) (slots int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, false
	}
	for _, t := range tasks {
		b.tasks[Critical-t.delivery.Level].Push(t)
	}
	b.waiting += len(tasks)
	slots = max(min(b.waiting, b.allowed-b.running), 0)
	b.running += slots
	if b.giveBack != nil && !b.set && b.waiting > slots {
		b.watch(b.ahead.patience)
	}
	return slots, true
}

// next takes a job to run, for a slot whose last handler took a time, negative if there was
// none. It returns nil if there is no job, and the slot has ended then.
func (b *buffer) next(took time.Duration) *task {
	b.mu.Lock()
	defer b.mu.Unlock()
	if took >= 0 {
		b.ahead.end(took)
	}
	if b.waiting == 0 {
		b.end()
		return nil
	}
	for i := range b.tasks {
		if b.tasks[i].Len() > 0 {
			b.waiting--
			if b.waiting == b.ahead.size/2 {
				b.hasPermits.Signal()
			}
			return b.tasks[i].Pop()
		}
	}
	panic("batch: a buffer counts jobs that it does not have")
}

// leave notes that a slot has ended before its job.
func (b *buffer) leave() {
	b.mu.Lock()
	b.end()
	b.mu.Unlock()
}

// end notes that a slot has ended. b.mu must be held.
func (b *buffer) end() {
	if b.running--; b.running == 0 && b.closed {
		close(b.quiet)
	}
}

// close stops the slots from starting jobs and the fetcher from receiving more. It
// returns the jobs that have not started.
func (b *buffer) close() []*task {
	b.mu.Lock()
	defer b.mu.Unlock()
	var rest []*task
	for i := range b.tasks {
		for b.tasks[i].Len() > 0 {
			rest = append(rest, b.tasks[i].Pop())
		}
	}
	b.waiting = 0
	b.hasPermits.Broadcast()
	if !b.closed && b.running == 0 {
		close(b.quiet)
	}
	b.closed = true
	b.ahead.shown.Store(0)
	b.aging.stop()
	return rest
}

// watch looks in d for jobs that have waited for too long. b.mu must be held.
func (b *buffer) watch(d time.Duration) {
	b.set = true
	b.aging.ringIn(d, b.age)
}

// age gives back the jobs that have waited for too long, for another worker that may have a
// slot. Handlers have become slower or hang then, and nothing more is fetched ahead until one
// returns.
func (b *buffer) age() {
	b.mu.Lock()
	b.set = false
	if b.closed {
		b.mu.Unlock()
		return
	}
	now := time.Now()
	var old []*task
	next := now
	for i := range b.tasks {
		for b.tasks[i].Len() > 0 {
			if received := (*b.tasks[i].At(0)).received; now.Sub(received) < b.ahead.patience {
				if next == now || received.Before(next) {
					next = received
				}
				break
			}
			old = append(old, b.tasks[i].Pop())
		}
	}
	b.waiting -= len(old)
	if len(old) > 0 {
		b.ahead.stop()
	}
	if b.waiting > 0 {
		b.watch(next.Add(b.ahead.patience).Sub(now))
	}
	b.giving.Add(1) // before close, which the waiting comes after
	b.mu.Unlock()
	defer b.giving.Done()
	b.giveBack(old)
}
