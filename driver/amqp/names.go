package amqp

import (
	"strconv"
	"time"
)

// names are what the broker calls the queues that make up one of batch's. A
// queue's name has no dot, so that no two of them are alike.
type names struct {
	queue string // batch's own name
	main  string // waiting and running jobs
	dead  string // dead letters
	hop   string // delayed jobs between two delay queues
	lock  string // exists while a call works on the dead letters
}

// newNames makes the names of a queue.
func newNames(queue string) *names {
	main := "batch." + queue
	return &names{queue: queue, main: main, dead: main + ".dead", hop: main + ".hop", lock: main + ".lock"}
}

// delay is the name of the delay queue with a TTL.
func (n *names) delay(ttl time.Duration) string {
	return n.main + delaySuffix(ttl)
}

// delayLock is the name of what exists while a process looks into the delay queue with a TTL.
func (n *names) delayLock(ttl time.Duration) string { return n.delay(ttl) + ".lock" }

// delayInfix is between the names of a queue and of what is left of a delay queue's.
const delayInfix = ".delay."

// delaySuffix ends the name of a delay queue with a TTL.
func delaySuffix(ttl time.Duration) string {
	return delayInfix + strconv.FormatInt(ttl.Milliseconds(), 10)
}
