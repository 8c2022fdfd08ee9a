package nats

import (
	"context"
	"fmt"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Enqueue stores messages. Those with a dedup key are stored in atomic batches
// together with the keys.
func (d *Driver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	const op = "enqueue"
	if len(messages) == 0 {
		return nil
	}
	if err := d.life.Begin(ctx); err != nil {
		return fault.Results(len(messages), fail(op, queue, err))
	}
	defer d.life.End()
	n := d.names(queue)
	if takesPlain(messages) {
		err := d.unfit(op, queue, messages[0])
		if err == nil {
			err = d.enqueuePlain(ctx, n, messages[0])
		}
		if err != nil {
			return fault.Results(1, fail(op, queue, err))
		}
		return nil
	}
	now, err := d.enqueueTime(ctx, n, messages)
	if err != nil {
		return fault.Results(len(messages), fail(op, queue, err))
	}
	results := make([]driver.Result, len(messages))
	plain, keyed := make([]int, 0, len(messages)), []int(nil)
	var claims []claim
	var failed bool
	for i, m := range messages {
		switch err := d.unfit(op, queue, m); {
		case err != nil:
			results[i].Err, failed = fail(op, queue, err), true
		case m.DedupKey != "":
			keyed, claims = append(keyed, i), append(claims, d.claimOf(n, m, now))
		default:
			plain = append(plain, i)
		}
	}
	if len(plain) > 0 {
		entries := make([]entry, len(plain))
		for k, i := range plain {
			entries[k] = n.newJob(messages[i], now, "")
		}
		failed = d.storeEach(ctx, op, n, entries, plain, results) || failed
	}
	if len(keyed) > 0 {
		d.storeClaims(ctx, op, n, claims, keyed, results)
		failed = true // the results say what was a duplicate
	}
	if !failed {
		return nil
	}
	return results
}

// storeEach stores entries, writes the errors into the results that index names, and
// tells whether there were any.
func (d *Driver) storeEach(ctx context.Context, op string, n *names, entries []entry, index []int, results []driver.Result) (failed bool) {
	for k, err := range d.store(ctx, n, entries) {
		if err != nil {
			results[index[k]].Err, failed = fail(op, n.queue, err), true
		}
	}
	return failed
}

// commitFrom is from how many entries on one atomic batch is quicker than each on its own,
// where the server syncs to the disk before it answers. Each on its own is one sync; a batch is
// six, and some milliseconds for files that the server makes and removes for it. On a disk that
// syncs in 0.2 ms they are even at 16 to 20, and on slower ones a little earlier.
const commitFrom = 16

// store stores the entries of one call.
func (d *Driver) store(ctx context.Context, n *names, entries []entry) []error {
	if !d.options.GroupCommit || len(entries) < commitFrom {
		_, errs := d.publish(ctx, n, entries)
		return errs
	}
	if err := d.commit(ctx, n, entries); err != nil {
		return fault.All(len(entries), err)
	}
	return nil
}

// EnqueueAtomic stores all messages in one atomic batch of the server, with
// their dedup keys.
func (d *Driver) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	const op = "enqueue atomic"
	if len(messages) == 0 {
		return nil
	}
	if err := d.life.Begin(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer d.life.End()
	keys := make(map[string]bool)
	for _, m := range messages {
		if err := d.unfit(op, queue, m); err != nil {
			return fail(op, queue, err)
		}
		if m.DedupKey != "" && keys[m.DedupKey] {
			return duplicate(op, queue, m.DedupKey, "")
		}
		keys[m.DedupKey] = true
	}
	if len(messages) > atomicLimit {
		err := fmt.Errorf("%d messages, and one atomic batch takes %d", len(messages), atomicLimit)
		return faults.Refuse(op, queue, driver.ErrTooLarge, err, "")
	}
	n := d.names(queue)
	now, err := d.enqueueTime(ctx, n, messages)
	if err != nil {
		return fail(op, queue, err)
	}
	entries, keyed := d.keyedEntries(n, messages, now)
	for range keyRounds {
		err := d.commit(ctx, n, entries)
		if !isConflict(err) {
			return fail(op, queue, err)
		}
		owners, err := d.keyOwners(ctx, n, keyed)
		if err != nil {
			return fail(op, queue, fault.NotSent{Err: err}) // the batch was refused
		}
		for i, owner := range owners {
			if owner != "" {
				return duplicate(op, queue, keyOf(messages, i), owner)
			}
		}
		// The key was in flight, or its time ended between the two looks.
	}
	return fail(op, queue, errChanging)
}

// keyOf is the dedup key of message i of those that have one.
func keyOf(messages []*driver.Message, i int) string {
	for _, m := range messages {
		if m.DedupKey == "" {
			continue
		}
		if i == 0 {
			return m.DedupKey
		}
		i--
	}
	return ""
}

// duplicate is the error of a dedup key that is taken.
func duplicate(op, queue, key, owner string) error {
	err := fmt.Errorf("the dedup key %s is taken", key)
	if owner != "" {
		err = fmt.Errorf("the dedup key %s is taken by job %s", key, owner)
	}
	return faults.Refuse(op, queue, driver.ErrDuplicate, err, "")
}

// enqueueTime is the server's time if one of the messages has a delay.
func (d *Driver) enqueueTime(ctx context.Context, n *names, messages []*driver.Message) (moment, error) {
	for _, m := range messages {
		if m.Delay > 0 {
			return d.askTime(ctx, n)
		}
	}
	return moment{}, nil
}

// askTime is the server's time, for a call that has stored nothing yet.
func (d *Driver) askTime(ctx context.Context, n *names) (moment, error) {
	now, err := d.serverNow(ctx, n)
	if err != nil {
		err = fault.NotSent{Err: d.whyUnanswered(ctx, n, err)}
	}
	return now, err
}

// unfit refuses a message that is too large, and one that is to be held back, or whose
// dedup key is to be remembered, for a time that is out of bounds.
func (d *Driver) unfit(op, queue string, m *driver.Message) error {
	if err := faults.CheckDelay(op, queue, m, maxDelay); err != nil {
		return err
	}
	if w := m.DedupWithin; w != 0 && (w < minDedupWindow || w > d.options.DedupWindow) {
		return fmt.Errorf("%w: the dedup key is to be remembered for %s, and %s to %s are possible", errBounds, w, minDedupWindow, d.options.DedupWindow)
	}
	return d.tooLarge(m)
}

// tooLarge refuses a message for which the server would cut the connection.
func (d *Driver) tooLarge(m *driver.Message) error {
	limits := d.info.Limits
	if len(m.Body) > limits.MaxBody || m.HeaderSize() > limits.MaxHeaders {
		return fmt.Errorf("%w: the body has %d bytes of %d, the headers %d of %d", natsgo.ErrMaxPayload,
			len(m.Body), limits.MaxBody, m.HeaderSize(), limits.MaxHeaders)
	}
	return nil
}
