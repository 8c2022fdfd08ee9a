package amqp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// The ladder is how jobs are held back, with a fixed number of queues and no
// plug-in. RabbitMQ can keep a message for the time of its queue and then move it
// to another; times of messages in one queue would hold each other up, as only
// the first in a queue is looked at (https://www.rabbitmq.com/docs/ttl). So there
// is a queue for each of several lengths, the levels. A job goes to the longest
// one that is not longer than its delay; from there RabbitMQ moves it to the hop
// queue, which the mover of every consumer reads; and the mover puts it on the
// next level for what is left, or, at last, where it is handed out.
//
// A job that fell due while no consumer lived waits in the hop queue, and goes
// out when one comes. It is stored at every moment: the next queue has confirmed
// it before the last one forgets it.

// levels are the lengths of the ladder, shortest first. Where jobs are many and
// delays are short each is twice the one before, so that a job of a few seconds
// takes three steps on average. Longer ones may take more steps than that, and
// each queue costs a Raft group. The longest stays below 2^32 ms, the bound of
// x-message-ttl.
var levels = func() []time.Duration {
	var all []time.Duration
	d := shortest
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

// shortest is the first level. What is left of a delay below it passes in the
// mover's memory: a longer one would have it hold more than it should have
// prefetched at thousands of jobs a second, a shorter one adds steps.
const shortest = 64 * time.Millisecond

// rung is the level for what is left of a delay, which is at least the shortest.
func rung(left time.Duration) time.Duration {
	best := levels[0]
	for _, d := range levels {
		if d <= left {
			best = d
		}
	}
	return best
}

// clockID names the clock of this machine. Jobs carry the time when they are due
// by the clock of whoever stored them last, and it is taken for that only on the
// same clock. Elsewhere clocks may differ by hours, and the duration that is left
// after the level is what counts, though it does not know how long the job lay in
// the hop queue.
var clockID = func() string {
	// Every process since the machine was started, containers included, shares
	// one clock.
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		if text := strings.TrimSpace(string(id)); visible(text) {
			return text
		}
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}()

// climb makes a publication that holds message back until due: on its next level
// if the ladder is ready, else in the hop queue, where the mover keeps it.
//
// Levels and the hop queue must be first in, first out, as a message behind
// others is neither looked at nor moved on; so the priority travels in a header.
func climb(n *names, message amqp091.Publishing, due, now time.Time, ready bool) *publication {
	left := due.Sub(now)
	queue, after := n.hop, left
	if left >= shortest && ready {
		d := rung(left)
		queue, after = n.level(d), left-d
	}
	if message.Priority != 0 {
		message.Headers[hLevel] = int64(message.Priority) - basePriority + lowest
		message.Priority = 0
	}
	message.Headers[hDue] = ceilUnixMS(due)
	message.Headers[hLeft] = ceilMS(max(after, 0))
	message.Headers[hClock] = clockID
	return &publication{queue: queue, message: message}
}

// ceilUnixMS is t in Unix ms, rounded up.
func ceilUnixMS(t time.Time) int64 {
	return t.Add(time.Millisecond - 1).UnixMilli()
}

// dueOf is when a message of the hop queue, which came now, is due.
func dueOf(headers amqp091.Table, now time.Time) time.Time {
	r := reader{headers: headers}
	if r.text(hClock) == clockID {
		if due := r.time(hDue, time.UnixMilli); !due.IsZero() {
			return due
		}
	}
	// Nothing is left of a delay that cannot be read.
	return now.Add(time.Duration(r.number(hLeft, 0, maxDelay.Milliseconds())) * time.Millisecond)
}

// place makes the publication of a job that is to be available after delay.
func (h *handle) place(ctx context.Context, n *names, message amqp091.Publishing, delay time.Duration, now time.Time) (*publication, error) {
	if delay <= 0 {
		return &publication{queue: n.main, message: message}, nil
	}
	ready := false
	if delay >= shortest {
		l, err := h.ladder(ctx, n)
		if err != nil {
			return nil, notSent{err}
		}
		ready = l.ready()
	}
	return climb(n, message, now.Add(delay), now, ready), nil
}
