package memory

import (
	"context"
	"errors"
	"sync"

	"github.com/batch-go/batch/driver"
)

// ErrTxEnded is the cause of the error of a call with a transaction that was committed or
// rolled back before.
var ErrTxEnded = errors.New("the transaction has ended")

// txState is what a transaction is to do when it is committed, and what it holds until it
// has ended.
type txState struct {
	*holder
	broker *Broker

	// mu is taken before all locks of the broker. It is not held while the transaction waits
	// for another one.
	mu    sync.Mutex // guards following
	ended error      // nil while it is open, else the kind of the errors of calls
	// stored are the jobs to store. Capacity for them is reserved, and their keys are held.
	stored []storedJob
	// completed are the deliveries whose jobs to end. Their leases are locked.
	completed []completedJob
}

// storedJob is a job that a transaction is to store.
type storedJob struct {
	*job
	queue  *queueState
	due    instant // of a job with a delay; else 0
	window instant // for which its key is remembered
}

// completedJob is a job that a transaction is to end.
type completedJob struct {
	*lease
	queue *queueState
}

// newTxState makes the state of a transaction that begins.
func newTxState(b *Broker, conn *connection) *txState {
	t := &txState{broker: b}
	t.holder = &holder{conn: conn, done: make(chan struct{}), end: func(why error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.finish(why)
	}}
	return t
}

// usable is nil, or the error of a call on a transaction that has ended. t.mu must be held,
// as for all that follows.
func (t *txState) usable(op, queue string) error {
	if t.ended == ErrTxEnded {
		return faults.Refuse(op, queue, driver.ErrClosed, ErrTxEnded, "")
	}
	return fail(op, queue, t.ended)
}

// store notes jobs to store on a queue, as driver.TxEnqueuer has it. It notes none and names
// the transaction that holds one of their keys, if another does.
func (t *txState) store(ctx context.Context, d *base, op, queue string, jobs []*job, messages []*driver.Message) ([]driver.Result, *holder, error) {
	for swept := false; ; swept = true {
		q, now, err := d.begin(ctx, op, queue)
		if err != nil {
			return nil, nil, err
		}
		results, other := q.duplicates(t.holder, jobs)
		var bytes int64
		var added []storedJob
		for i, j := range jobs {
			if results != nil && results[i].Duplicate {
				continue
			}
			bytes += j.cost(nil)
			s := storedJob{job: j, queue: q, window: messages[i].DedupWithin}
			if s.window == 0 {
				s.window = q.window
			}
			if messages[i].Delay > 0 {
				s.due = now + messages[i].Delay
			}
			added = append(added, s)
		}
		stored := other == nil && q.capacity.reserve(bytes, len(added))
		if stored {
			t.stored = append(t.stored, added...)
			q.hold(t.holder, added)
		}
		q.mu.Unlock()
		switch {
		case other != nil || stored:
			return results, other, nil
		case swept:
			return nil, nil, faults.Refuse(op, queue, driver.ErrFull, errFull, hintFull)
		}
		d.broker.sweep()
	}
}

// duplicates are the results of jobs of a transaction, nil if none is a duplicate. It names
// another transaction that holds one of their keys. q.mu must be held, as for all that
// follows about queues.
func (q *queueState) duplicates(h *holder, jobs []*job) (results []driver.Result, other *holder) {
	var own map[string]string // the IDs of jobs of this call, by their keys
	for i, j := range jobs {
		key := j.msg.DedupKey
		if key == "" {
			continue
		}
		of, duplicate := own[key]
		if k := q.keys.find(key); k != nil {
			of, duplicate = k.id, true
		} else if held, ok := q.held[key]; ok {
			if held.by != h {
				return nil, held.by
			}
			of, duplicate = held.id, true
		}
		if duplicate {
			results = setResult(results, len(jobs), i, driver.Result{Duplicate: true, DuplicateOf: of})
			continue
		}
		if own == nil {
			own = make(map[string]string)
		}
		own[key] = j.msg.ID
	}
	return results, nil
}

// hold holds the keys of jobs for their transaction.
func (q *queueState) hold(h *holder, jobs []storedJob) {
	for _, s := range jobs {
		if s.msg.DedupKey == "" {
			continue
		}
		if q.held == nil {
			q.held = make(map[string]heldKey)
		}
		q.held[s.msg.DedupKey] = heldKey{h, s.msg.ID}
	}
}

// release frees a key that a transaction holds, if it does.
func (q *queueState) release(h *holder, key string) {
	if q.held[key].by == h {
		delete(q.held, key)
	}
}

// keep takes a job of a transaction into the queue.
func (q *queueState) keep(s storedJob, now instant) {
	if s.msg.DedupKey != "" {
		s.keyNumber = q.keys.add(s.msg.DedupKey, s.msg.ID, now+s.window)
	}
	if s.due > now {
		q.admitLater(s.job, s.due)
		return
	}
	q.admit(s.job, now)
}

// complete locks a lease for its end. It does not and names the transaction that has locked
// it, if another has.
func (t *txState) complete(d *base, op string, q *queueState, l *lease) (*holder, error) {
	q.begin()
	defer q.mu.Unlock()
	if err := fail(op, q.name, d.conn.usable()); err != nil {
		return nil, err
	}
	switch {
	case l.job == nil || l.locked == t.holder:
		return nil, faults.LeaseLost(op, q.name)
	case l.locked != nil:
		return l.locked, nil
	}
	q.running.lock(l, t.holder)
	t.completed = append(t.completed, completedJob{l, q})
	return nil, nil
}

// commit makes true what the transaction did, in one instant, and then ends it. After an
// error nothing of it is true.
func (t *txState) commit(ctx context.Context, op string) error {
	if err := t.usable(op, ""); err != nil {
		return err
	}
	defer t.finish(ErrTxEnded)
	if err := fail(op, "", ctx.Err()); err != nil {
		return err
	}
	// Only a commit locks several queues, and only one commit at a time does, so that it does
	// not matter in which order.
	t.broker.committing.Lock()
	defer t.broker.committing.Unlock()
	queues := t.queues()
	for q := range queues {
		q.begin()
	}
	now := t.broker.clock.now()
	defer func() {
		for q := range queues {
			q.end(now)
		}
	}()
	if err := fail(op, "", t.conn.usable()); err != nil {
		return err
	}
	for _, s := range t.stored {
		if s.queue.deleted {
			return faults.Refuse(op, s.queue.name, driver.ErrNotFound, errNoQueue, "")
		}
	}
	t.apply(now)
	return nil
}

// apply is commit with all queues locked.
func (t *txState) apply(now instant) {
	for _, c := range t.completed {
		if c.job == nil { // the queue was deleted
			continue
		}
		j := c.queue.running.remove(c.lease)
		c.queue.dropFromGroup(j)
		c.queue.capacity.free(j.size, 1)
	}
	for _, s := range t.stored {
		s.queue.release(t.holder, s.msg.DedupKey)
		s.queue.keep(s, now)
	}
	t.stored, t.completed = nil, nil
}

// queues are those that the transaction has to do with.
func (t *txState) queues() map[*queueState]bool {
	all := make(map[*queueState]bool)
	for _, s := range t.stored {
		all[s.queue] = true
	}
	for _, c := range t.completed {
		all[c.queue] = true
	}
	return all
}

// finish ends the transaction, unless it has ended: it rolls back what was not applied, and
// lets those go on that wait for it. No queue must be locked.
func (t *txState) finish(why error) {
	if t.ended != nil {
		return
	}
	t.ended = why
	for _, s := range t.stored {
		s.queue.mu.Lock()
		s.queue.release(t.holder, s.msg.DedupKey)
		s.queue.mu.Unlock()
		s.queue.capacity.free(s.cost(nil), 1)
	}
	for _, c := range t.completed {
		now := c.queue.begin()
		if c.job != nil { // else the queue was deleted, or the broker has crashed
			c.queue.running.unlock(c.lease)
			c.queue.advance(now)
		}
		c.queue.end(now)
	}
	t.stored, t.completed = nil, nil
	t.broker.holders.remove(t.holder)
	close(t.done)
}
