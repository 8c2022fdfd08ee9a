package nats

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nuid"

	"github.com/batch-go/batch/driver"
)

// EnqueueAtomic stores all messages in one atomic batch of the server, with
// their dedup keys.
func (d *Driver) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	const op = "enqueue atomic"
	if len(messages) == 0 {
		return nil
	}
	if err := d.enter(ctx, op, queue); err != nil {
		return err
	}
	defer d.leave()
	n := d.names(queue)
	keys := make(map[string]bool)
	for _, m := range messages {
		if err := d.tooLarge(m); err != nil {
			return fail(op, queue, err)
		}
		if m.DedupKey != "" && keys[m.DedupKey] {
			return duplicate(op, queue, m.DedupKey, "")
		}
		keys[m.DedupKey] = true
	}
	if len(messages) > atomicLimit {
		return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: driver.ErrTooLarge, Fate: driver.FateNotStored,
			Err: fmt.Errorf("%d messages, and one atomic batch takes %d", len(messages), atomicLimit)}
	}
	now, err := d.clockFor(ctx, n, messages)
	if err != nil {
		err := fail(op, queue, d.missing(ctx, n, err)).(*driver.Error)
		err.Fate = driver.FateNotStored
		return err
	}
	var entries []entry
	var keyed []*driver.Message
	for _, m := range messages {
		if m.DedupKey != "" {
			entries = append(entries, d.keyEntry(n, m))
			keyed = append(keyed, m)
		}
		entries = append(entries, n.fresh(m, now))
	}
	for range keyRounds {
		err = d.commit(ctx, n, entries)
		if !isConflict(err) {
			return fail(op, queue, err)
		}
		owners, err := d.keyOwners(ctx, n, keyed)
		if err != nil {
			err := fail(op, queue, err).(*driver.Error)
			err.Fate = driver.FateNotStored
			return err
		}
		for i, owner := range owners {
			if owner != "" {
				return duplicate(op, queue, keyed[i].DedupKey, owner)
			}
		}
		// The key was in flight, or its time ended between the two looks.
	}
	return fail(op, queue, errChanging)
}

func duplicate(op, queue, key, owner string) error {
	err := fmt.Errorf("the dedup key %s is taken", key)
	if owner != "" {
		err = fmt.Errorf("the dedup key %s is taken by job %s", key, owner)
	}
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: driver.ErrDuplicate, Fate: driver.FateNotStored, Err: err}
}

// isConflict tells that an atomic batch was refused because the last message of
// a subject is not the expected one, or is about to be written by another.
func isConflict(err error) bool { return isCode(err, codeWrongLastSequence, codeConflictInFlight) }

// commit stores entries in one atomic batch: all or none.
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
func (d *Driver) commit(ctx context.Context, n *names, entries []entry) error {
	select {
	case d.batches <- struct{}{}:
		defer func() { <-d.batches }()
	case <-ctx.Done():
		return notBegun{ctx.Err()}
	}
	last := len(entries) - 1
	// The first is answered too: why the batch as a whole was refused is said
	// there, and the last one's answer is then only that there is no such batch.
	asked := min(2, len(entries))
	f, err := d.link.fly(asked, n.root)
	if err != nil {
		return err
	}
	id := nuid.Next()
	for i := range entries {
		e := &entries[i]
		e.header[natsBatchID] = []string{id}
		e.header[natsBatchSeq] = []string{strconv.Itoa(i + 1)}
		delete(e.header, natsBatchCommit)
		if i == last {
			e.header[natsBatchCommit] = []string{"1"}
		}
		switch {
		case i == 0 && last > 0:
			err = f.ask(0, e.subject, e.header, e.data)
		case i == last:
			err = f.ask(asked-1, e.subject, e.header, e.data)
		default:
			err = d.link.send(e)
		}
		if err != nil {
			// Without its last message the server forgets the batch.
			f.fail(errLost)
			_ = f.wait(ctx)
			return err
		}
	}
	if err := f.wait(ctx); err != nil {
		// The first answer may have come, and been a refusal.
		if m := f.answers[0]; last > 0 && m != nil && len(m.Data) > 0 {
			if _, refused := readAck(n, m); refused != nil {
				return refused
			}
		}
		return err
	}
	if m := f.answers[0]; last > 0 && (len(m.Data) > 0 || status(m) != "") {
		if _, err := readAck(n, m); err != nil {
			return d.missing(ctx, n, err)
		}
	}
	_, err = readAck(n, f.answers[asked-1])
	return d.missing(ctx, n, err)
}
