package batch

import (
	"sync"
	"sync/atomic"
)

// sideBySide is how many lanes a worker opens or closes at the same time. Each takes some round trips, and
// one after the other hundreds of queues would take seconds, on a broker that is far away half
// a minute. More would meet the limits that brokers set to requests.
const sideBySide = 16

// openEach calls open with each queue, the first alone and then several at the same time:
// what keeps all of them from being opened is met once. No more are begun once open has
// returned false.
func openEach(queues []WorkerQueue, open func(WorkerQueue) bool) {
	if len(queues) > 0 && open(queues[0]) {
		doEach(queues[1:], open)
	}
}

// doEach calls do with each item, with several at the same time, until it has returned false.
func doEach[T any](items []T, do func(T) bool) {
	var next atomic.Int64
	var failed atomic.Bool
	var all sync.WaitGroup
	for range min(sideBySide, len(items)) {
		all.Go(func() {
			for i := int(next.Add(1)); i <= len(items) && !failed.Load(); i = int(next.Add(1)) {
				if !do(items[i-1]) {
					failed.Store(true)
				}
			}
		})
	}
	all.Wait()
}
