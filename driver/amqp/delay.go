package amqp

import (
	"maps"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/bootclock"
	"github.com/batch-go/batch/internal/wire"
)

// Jobs are held back with a fixed number of queues and no plug-in. RabbitMQ can
// keep a message for the TTL of its queue and then move it to another; different
// TTLs in one queue would hold each other up, as only the first message in a queue
// is looked at (https://www.rabbitmq.com/docs/ttl). So there is a delay queue for
// each of several TTLs. A job goes to the one with the longest TTL that is not
// longer than its delay; from there RabbitMQ moves it to the hop queue, which the
// mover of every consumer reads; and the mover puts it on the next delay queue for
// what is left, or, at last, where it is handed out.
//
// A job that fell due while no consumer lived waits in the hop queue, and goes
// out when one comes. It is stored at every moment: the next queue has confirmed
// it before the last one forgets it.
//
// Jobs carry the time when they are due by the clock of the machine that stored them
// last, and it is taken for that only on the same clock. Elsewhere clocks may differ
// by hours, and the duration that is left after the delay queue is what counts, though
// it does not know how long the job lay in the hop queue.

// ttls are the TTLs of the delay queues, shortest first. Where jobs are many and
// delays are short each is twice the one before, so that a job of a few seconds
// takes three steps on average. Longer ones may take more steps than that, and
// each queue costs a Raft group. The longest stays below 2^32 ms, the bound of
// x-message-ttl.
var ttls = func() []time.Duration {
	var all []time.Duration
	d := minTTL
	for range 8 { // 64 ms to 8 s
		all = append(all, d)
		d *= 2
	}
	d *= 2
	for range 5 { // 33 s to 2 h 20 min
		all = append(all, d)
		d *= 4
	}
	d *= 2
	for range 2 { // 19 h and 6 days
		all = append(all, d)
		d *= 8
	}
	return append(all, 40*24*time.Hour)
}()

const (
	// minTTL is the first TTL. What is left of a delay below it passes in the
	// mover's memory: a longer one would make the mover hold more than it should
	// have prefetched at thousands of jobs a second, a shorter one adds steps.
	minTTL = 64 * time.Millisecond
	// maxDelay: ten years are enough to tell a bug from a plan.
	maxDelay = 10 * 365 * 24 * time.Hour
)

// ttlFor is the TTL for what is left of a delay, which is at least the shortest.
func ttlFor(left time.Duration) time.Duration {
	best := ttls[0]
	for _, ttl := range ttls {
		if ttl <= left {
			best = ttl
		}
	}
	return best
}

// delayNames are the names of all delay queues of a queue.
func delayNames(n *names) []string {
	all := make([]string, len(ttls))
	for i, ttl := range ttls {
		all[i] = n.delay(ttl)
	}
	return all
}

// holdBack makes a publication that holds message back until due: in the next
// delay queue if those are ready, else in the hop queue, where the mover keeps it.
//
// These queues must be first in, first out, as a message behind others is neither
// looked at nor moved on; so the priority travels in a header.
func holdBack(n *names, message amqp091.Publishing, due, now time.Time, ready bool) *publication {
	left := due.Sub(now)
	queue, ttl := n.hop, time.Duration(0)
	if left >= minTTL && ready {
		ttl = ttlFor(left)
		queue = n.delay(ttl)
	}
	priorityToHeader(&message)
	message.Headers[hDue] = wire.Millis(bootclock.Now() + max(left, 0))
	message.Headers[hLeft] = wire.Millis(max(left-ttl, 0))
	message.Headers[hClock] = bootclock.ID
	return &publication{queue: queue, message: message, ttl: ttl}
}

// toHop makes a publication of holdBack, whose delay queue does not exist, one for the
// hop queue. It must not be under way.
func (p *publication) toHop(n *names) {
	message := p.message
	message.Headers = maps.Clone(message.Headers) // the writer may still have the others
	message.Headers[hLeft] = message.Headers[hLeft].(int64) + p.ttl.Milliseconds()
	*p = publication{queue: n.hop, message: message}
}

// century bounds what a clock says that started with the machine, in ms.
const century = 100 * 365 * 24 * 3600 * 1000

// dueOf is when a message of the hop queue, which came now, is due. clock is what the
// clock of bootclock.ID said just before that.
func dueOf(headers amqp091.Table, now time.Time, clock time.Duration) time.Time {
	r := reader{headers: headers}
	if r.text(hClock) == bootclock.ID {
		if due := r.number(hDue, 1, century); due != 0 {
			return now.Add(min(time.Duration(due)*time.Millisecond-clock, maxDelay))
		}
	}
	// Nothing is left of a delay that cannot be read.
	left := time.Duration(r.number(hLeft, 0, maxDelay.Milliseconds())) * time.Millisecond
	if gone, ok := removalOf(headers); ok && gone.reason != "expired" {
		left += ttlOf(gone.queue) // it did not stay there for its time
	}
	return now.Add(left)
}

// ttlOf is the TTL of a delay queue by its name, or zero of another queue.
func ttlOf(queue string) time.Duration {
	for _, ttl := range ttls {
		if strings.HasSuffix(queue, delaySuffix(ttl)) {
			return ttl
		}
	}
	return 0
}

// delayHeaders are those that a job has only while it is delayed.
var delayHeaders = [...]string{hDue, hLeft, hClock}

// withoutDelay is the message of a job as it was before holdBack, but for its
// priority.
func withoutDelay(d *amqp091.Delivery) amqp091.Publishing {
	headers := make(amqp091.Table, len(d.Headers))
	for name, value := range d.Headers {
		switch {
		case name == hDue, name == hLeft, name == hClock:
		case isExtension(name): // the broker's, about its way so far
		default:
			headers[name] = value
		}
	}
	return amqp091.Publishing{
		MessageId: d.MessageId, Type: d.Type, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding,
		Timestamp: d.Timestamp, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, AppId: d.AppId,
		DeliveryMode: amqp091.Persistent, Headers: headers, Body: d.Body,
	}
}
