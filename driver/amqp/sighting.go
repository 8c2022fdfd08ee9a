package amqp

import (
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/bootclock"
	"github.com/batch-go/batch/internal/wire"
)

// Whether a job has been in a delay queue for longer than it can is known of a job that
// this machine delayed, by its clock. Of others it is known when the first job of the
// queue was seen there twice, more than the TTL apart: then it and all that were behind
// it at the first time have been there for longer. Neither goes by any time of day.

// ttlMargin is how much longer than its TTL a job may stay in a delay queue: what is late on
// a healthy broker, and what the clocks of two machines differ by in that time.
func ttlMargin(ttl time.Duration) time.Duration { return leaveMargin + ttl/1000 }

// leaveMargin is how late a job may leave a delay queue.
const leaveMargin = time.Second

// stored tells a job in a delay queue from all others, and from itself at other times.
type stored struct {
	id, clock string
	due, left int64
}

// storedOf reads it.
func storedOf(d *amqp091.Delivery) stored {
	r := reader{headers: d.Headers}
	return stored{
		id: d.MessageId, clock: r.text(hClock), due: r.number(hDue, 1, century), left: r.number(hLeft, 0, maxDelay.Milliseconds()),
	}
}

// hasStayed tells whether a job of this machine should have left its delay queue a while
// ago, by a clock that says so much. Of jobs of other machines it is always false.
func (s *stored) hasStayed(clock time.Duration) bool {
	return s.isOwn() && s.due-s.left < wire.Millis(clock-leaveMargin)
}

// isOwn tells whether its times are by the clock of this machine.
func (s *stored) isOwn() bool { return s.clock == bootclock.ID && s.due > 0 }

// sighting is a job that was seen as the first in its delay queue.
type sighting struct {
	job   stored
	at    time.Time // when it was seen; zero is none
	count int       // how many jobs were there then, it included
}

// sightingOf is that of a job that is first among so many now. It is none without a job, of
// one that can tell by itself how long it has been there, and of one that cannot be told from
// others.
func sightingOf(d *amqp091.Delivery, count int) sighting {
	if d == nil {
		return sighting{}
	}
	job := storedOf(d)
	if job.isOwn() || job.id == "" {
		return sighting{}
	}
	return sighting{job: job, at: time.Now(), count: count}
}
