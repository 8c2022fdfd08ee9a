package amqp

import (
	"cmp"
	"context"
	"errors"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

const (
	// moverStep is how many jobs are moved together. A job is in two queues from when
	// the next one has it until its acknowledgement is sent: if the process or the
	// connection ends in between, the job runs twice. So this, times moverBatches, is
	// how many may.
	moverStep = 64
	// moverBatches is how many groups of them are being confirmed at once.
	moverBatches = 4
	// moverPause is how long a job is held that its next queue has refused, before it
	// is tried again, and a dead letter that a policy removed, before it goes back.
	moverPause = time.Second
)

// carrier carries the jobs of the hop queue on, from the channel on which they came.
type carrier struct {
	*source
	watch *watch
	ch    *amqp091.Channel
	conn  *connection
}

// moved is what became of a group of jobs.
type moved struct {
	// refused are those that their next queue did not take, for another try.
	refused []delayedJob
	// err is why the mover cannot go on, or nil.
	err error
}

// move publishes jobs to where they go next, and acknowledges each as soon as that
// has it.
func (m *carrier) move(ctx context.Context, jobs []delayedJob) moved {
	now := time.Now()
	items := make([]*publication, len(jobs))
	tags := make(map[*publication]uint64, len(jobs))
	for i, job := range jobs {
		items[i] = m.next(job, now)
		tags[items[i]] = job.tag
	}
	var failed error
	m.base.publishEach(ctx, items, func(stored []*publication) {
		m.conn.socket.cork()
		defer m.conn.socket.uncork()
		for _, item := range stored {
			if item.err == nil && failed == nil {
				failed = m.ch.Ack(tags[item], false)
				delete(tags, item)
			}
		}
	})
	if failed != nil {
		return moved{err: failed}
	}
	return m.settleRest(ctx, jobs, items, tags)
}

// next is the publication by which a job is moved.
func (m *carrier) next(job delayedJob, now time.Time) *publication {
	switch {
	case job.dead:
		return &publication{queue: m.names.dead, message: job.message}
	case job.due.After(now):
		p := holdBack(m.names, job.message, job.due, now, true)
		m.watch.fill(p.ttl, now)
		return p
	}
	priorityFromHeader(&job.message)
	return &publication{queue: m.names.main, message: job.message}
}

// returned is the message of a dead letter that was removed from the dead letters, as
// it was there.
func returned(d *amqp091.Delivery) amqp091.Publishing {
	m := withoutDelay(d)
	if j := decode(d); m.Headers[hReason] == nil && j.reason != "" {
		m.Headers[hLevel] = int64(j.Level) // what a policy brought here has it as its priority
		markDead(&m, j.reason, j.diedAt)
		m.Headers[hError] = j.lastError
	}
	return m
}

// settleRest is what becomes of the jobs that were not moved at once.
func (m *carrier) settleRest(ctx context.Context, jobs []delayedJob, items []*publication, tags map[*publication]uint64) moved {
	var result moved
	var again []*publication
	for i, item := range items {
		tag, left := tags[item]
		switch {
		case !left:
		case item.err == nil:
			// Published on a channel of its own, for its size: each was not told.
			result.err = cmp.Or(result.err, m.ch.Ack(tag, false))
		case item.err == errReturned && item.queue != m.names.main:
			again = append(again, item.anew())
		case item.err == errNacked || errors.Is(item.err, driver.ErrTooLarge):
			job := jobs[i]
			job.message = item.message
			for _, name := range delayHeaders {
				delete(job.message.Headers, name)
			}
			job.wake = time.Now().Add(moverPause)
			result.refused = append(result.refused, job)
		default:
			result.err = cmp.Or(result.err, item.err)
		}
	}
	m.base.store(ctx, m.names, again)
	for _, item := range again {
		if result.err = cmp.Or(result.err, item.err); item.err == nil {
			result.err = cmp.Or(result.err, m.ch.Ack(tags[item], false))
		}
	}
	return result
}
