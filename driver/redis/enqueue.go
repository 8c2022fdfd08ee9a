package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/wire"
)

// Enqueue stores plain messages by enqueuePlain, and others with one script, which the server
// carries out as a whole. A script is not undone if it fails half-way, which only a damaged key
// can cause: then the fate of each of them is unknown.
func (d *Driver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	if err := d.validate("enqueue", queue, messages); err != nil {
		return fault.Results(len(messages), err)
	}
	if !allPlain(messages) {
		return d.enqueueAny(ctx, queue, messages)
	}
	if d.takesPlain() {
		return d.enqueuePlain(ctx, queue, messages)
	}
	return d.enqueueScripted(ctx, queue, messages)
}

// enqueueAny is Enqueue for messages of any sort, a page a script.
func (d *Driver) enqueueAny(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	var results []driver.Result
	for at := 0; at < len(messages); {
		page := messages[at:min(at+pageJobs, len(messages))]
		duplicates, err := d.runEnqueueAny(ctx, queue, page, "0")
		if (err != nil || len(duplicates) > 0) && results == nil {
			results = make([]driver.Result, len(messages))
		}
		if err != nil {
			failPages(results, at, len(page), fail("enqueue", queue, err))
			return results
		}
		for i, first := range duplicates {
			results[at+i] = driver.Result{Duplicate: true, DuplicateOf: first}
		}
		at += len(page)
	}
	return results
}

// failPages gives an error to the results of a page of n that begins at at, and to those
// of the pages behind it, which were not sent.
func failPages(results []driver.Result, at, n int, err error) {
	for i := range n {
		results[at+i].Err = err
	}
	if rest := results[at+n:]; len(rest) > 0 {
		err = notSent(err)
		for i := range rest {
			rest[i].Err = err
		}
	}
}

// EnqueueAtomic stores all messages or none, in one script that looks at
// everything that could stand in its way before it writes.
func (d *Driver) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	if len(messages) == 0 {
		return nil
	}
	if err := d.validate("enqueue atomically", queue, messages); err != nil {
		return err
	}
	duplicates, err := d.runEnqueueAny(ctx, queue, messages, "1")
	if err != nil {
		return fail("enqueue atomically", queue, err)
	}
	if len(duplicates) > 0 {
		i := slices.Min(slices.Collect(maps.Keys(duplicates)))
		return faults.Refuse("enqueue atomically", queue, driver.ErrDuplicate,
			fmt.Errorf("%d of %d messages; message %d has the dedup key of job %s", len(duplicates), len(messages), i, duplicates[i]), "")
	}
	return nil
}

// runEnqueueAny runs enqueue_any, where atomic is "1" for all or none. Of each
// duplicate it returns, by its position, the ID of the first job with its key.
func (d *Driver) runEnqueueAny(ctx context.Context, queue string, messages []*driver.Message, atomic string) (map[int]string, error) {
	n := d.names(queue)
	var dedup []string
	numbers := make(map[string]int) // dedup key to its number among dedup, from 1
	for _, m := range messages {
		if m.DedupKey != "" && numbers[m.DedupKey] == 0 {
			dedup = append(dedup, n.dedup(m.DedupKey))
			numbers[m.DedupKey] = len(dedup)
		}
	}
	s := argStrings{strings: make([]string, 0, 4*len(messages)+8)}
	args := enqueueAnyScript.args(n, 1+9*len(messages), dedup...)
	args = append(args, atomic)
	for _, m := range messages {
		at := len(args)
		within := cmp.Or(m.DedupWithin, d.dedupWindow)
		args = append(args, nil, wire.Millis(m.Delay), numbers[m.DedupKey], wire.Millis(within), s.add(m.Group))
		args = appendRequired(args, &s, m)
		optional := len(args)
		args = appendOptional(args, &s, m)
		args[at] = messageCode(m, len(args)-optional)
	}
	raw, err := d.conn.evalStore(ctx, enqueueAnyScript, args)
	if err != nil {
		return nil, err
	}
	return readDuplicates(raw, len(messages))
}

// readDuplicates reads the reply of enqueue_any on n messages.
func readDuplicates(raw []byte, n int) (map[int]string, error) {
	r := reader{buf: raw}
	pairs := r.array() / 2
	if pairs == 0 {
		return nil, r.err
	}
	duplicates := make(map[int]string, min(pairs, n))
	for range pairs {
		i := int(r.int()) - 1
		duplicates[i] = r.string()
		if i < 0 || i >= n {
			return nil, errReply
		}
	}
	return duplicates, r.err
}

// allPlain tells whether all messages are ready at once and need no bookkeeping.
func allPlain(messages []*driver.Message) bool {
	for _, m := range messages {
		if m.Delay > 0 || m.DedupKey != "" || m.Group != "" {
			return false
		}
	}
	return true
}

// validate checks what the core is to keep to, where ignoring it would store
// another job than was meant.
func (d *Driver) validate(op, queue string, messages []*driver.Message) error {
	if err := d.eviction.refuse(op, queue); err != nil {
		return err
	}
	for _, m := range messages {
		if err := checkLevel(op, queue, m); err != nil {
			return err
		}
		if err := faults.CheckDelay(op, queue, m, maxDelay); err != nil {
			return err
		}
		if m.Group != "" && m.Delay > 0 {
			return faults.Refuse(op, queue, driver.ErrUnsupported, errors.New("job "+m.ID+" has both a group and a delay"), "")
		}
		if m.DedupKey != "" && m.DedupWithin != 0 && (m.DedupWithin < minDedupWindow || m.DedupWithin > d.dedupWindow) {
			return faults.Refuse(op, queue, driver.ErrConfig,
				fmt.Errorf("job %s has its dedup key for %s, which is not between %s and %s", m.ID, m.DedupWithin, minDedupWindow, d.dedupWindow), "")
		}
	}
	return nil
}

// checkLevel refuses a level that has no stream.
func checkLevel(op, queue string, m *driver.Message) error {
	if !m.Level.Valid() {
		return faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("job %s has level %d", m.ID, m.Level), "")
	}
	return nil
}
