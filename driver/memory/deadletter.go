package memory

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// movedBatch is how many jobs are moved or removed under one lock, so that a large
// redrive or purge does not stop the queue.
const movedBatch = 1000

// DeadLetters lists dead letters, in O(log n + max).
func (d *base) DeadLetters(ctx context.Context, queue string, cursor string, max int) ([]driver.DeadLetter, string, error) {
	const op = "dead letters"
	from, err := parsePage(op, queue, driver.StateDead, cursor, max)
	if err != nil {
		return nil, "", err
	}
	q, _, err := d.begin(ctx, op, queue)
	if err != nil {
		return nil, "", err
	}
	defer q.mu.Unlock()
	dead, next := page(&q.backlog, driver.StateDead, from, max, func(j *job) driver.DeadLetter { return j.deadLetter(q.clock) })
	return dead, next, nil
}

// Redrive moves dead letters behind the waiting jobs, each in one step.
func (d *base) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.eachDead(ctx, "redrive", queue, which, redrive)
}

// redrive makes a dead letter wait. q.mu must be held.
func redrive(q *queueState, j *job, now instant) {
	q.removeDead(j)
	j.at = 0
	j.forget()
	q.admit(j, now)
}

// Discard removes dead letters.
func (d *base) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.eachDead(ctx, "discard", queue, which, discard)
}

// discard removes a dead letter. q.mu must be held.
func discard(q *queueState, j *job, _ instant) { q.drop(j, driver.StateDead) }

// eachDead calls do, which removes a dead letter, with each of those selected, and
// counts them. If it returns an error too, the rest was not done.
func (d *base) eachDead(ctx context.Context, op, queue string, which driver.Selection, do func(*queueState, *job, instant)) (int, error) {
	if which.All {
		return d.allDead(ctx, op, queue, do)
	}
	done := 0
	for ids := which.IDs; len(ids) > 0; {
		q, now, err := d.begin(ctx, op, queue)
		if err != nil {
			return done, err
		}
		n := min(len(ids), movedBatch)
		for _, id := range ids[:n] {
			for j := q.deadByID.first(id); j != nil; j = q.deadByID.first(id) {
				do(q, j, now)
				done++
			}
		}
		ids = ids[n:]
		q.end(now)
	}
	return done, nil
}

// allDead stops after the last dead letter that was there when it began: a job
// that is redriven and dies again meanwhile is not redriven without end.
func (d *base) allDead(ctx context.Context, op, queue string, do func(*queueState, *job, instant)) (int, error) {
	done := 0
	var until *cursor
	for {
		q, now, err := d.begin(ctx, op, queue)
		if err != nil {
			return done, err
		}
		if until == nil && q.dead.n > 0 {
			c := cursorOf(q.dead.last())
			until = &c
		}
		more := false
		for n := 0; ; n++ {
			j := q.dead.first()
			if j == nil || !(j.before(until.at, until.seq) || j.seq == until.seq) {
				break
			}
			if n == movedBatch {
				more = true
				break
			}
			do(q, j, now)
			done++
		}
		q.end(now)
		if !more {
			return done, nil
		}
	}
}
