package memory

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// slice is how many dead letters are moved under one lock, so that a large
// redrive does not stop the queue.
const slice = 1000

// bury makes a job a dead letter. q.mu must be held.
func (q *queue) bury(j *job, reason string, now instant) {
	j.reason = reason
	// The place is new, for those that die in the same nanosecond.
	j.at, j.place = now, q.place()
	q.dead.push(j)
	q.deadID.add(j.msg.ID, j)
}

// dig takes a job out of the dead letters. q.mu must be held.
func (q *queue) dig(j *job) {
	q.dead.remove(j)
	q.deadID.remove(j.msg.ID, j)
}

// DeadLetters lists dead letters in O(log n) and the page.
func (d *Driver) DeadLetters(ctx context.Context, queue string, from string, max int) ([]driver.DeadLetter, string, error) {
	const op = "dead letters"
	if err := checkPage(op, queue, max); err != nil {
		return nil, "", err
	}
	c, err := parseCursor(op, queue, driver.DeadLettered, from)
	if err != nil {
		return nil, "", err
	}
	q, _, err := d.lock(ctx, op, queue)
	if err != nil {
		return nil, "", err
	}
	defer q.mu.Unlock()
	r := q.dead.after(c.at, c.place)
	var page []driver.DeadLetter
	var last *job
	for j := r.peek(); j != nil; j = r.peek() {
		if len(page) == max {
			return page, cursorOf(last).text(driver.DeadLettered), nil
		}
		page = append(page, j.deadLetter(d.b))
		last = j
		r.skip()
	}
	return page, "", nil
}

// Redrive moves dead letters to the end of what waits, each in one step.
func (d *Driver) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.eachDead(ctx, "redrive", queue, which, revive)
}

func revive(q *queue, j *job) {
	q.dig(j)
	j.at = 0
	j.failures, j.deliveries, j.lastError, j.reason = 0, 0, "", ""
	q.admit(j)
}

// Discard removes dead letters.
func (d *Driver) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.eachDead(ctx, "discard", queue, which, discard)
}

func discard(q *queue, j *job) {
	q.dig(j)
	q.b.room.free(j.size, 1)
}

// eachDead does something with the selected dead letters, which takes them out
// of the dead ones, and counts them. An error beside a count is that of the part
// that was not done.
func (d *Driver) eachDead(ctx context.Context, op, queue string, which driver.Selection, do func(*queue, *job)) (int, error) {
	if which.All {
		return d.allDead(ctx, op, queue, do)
	}
	done := 0
	for ids := which.IDs; len(ids) > 0; {
		q, now, err := d.lock(ctx, op, queue)
		if err != nil {
			return done, err
		}
		n := min(len(ids), slice)
		for _, id := range ids[:n] {
			for j := q.deadID.first(id); j != nil; j = q.deadID.first(id) {
				do(q, j)
				done++
			}
		}
		ids = ids[n:]
		q.leave(now)
	}
	return done, nil
}

// allDead goes up to the last dead letter of the call's beginning: a job that
// is redriven and dies again meanwhile is not redriven without end.
func (d *Driver) allDead(ctx context.Context, op, queue string, do func(*queue, *job)) (int, error) {
	done := 0
	var until *cursor
	for {
		q, now, err := d.lock(ctx, op, queue)
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
			if j == nil || !(j.before(until.at, until.place) || j.place == until.place) {
				break
			}
			if n == slice {
				more = true
				break
			}
			do(q, j)
			done++
		}
		q.leave(now)
		if !more {
			return done, nil
		}
	}
}
