package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/wire"
)

// storeJobs is the function that stores jobs.
var storeJobs = newStatement(`SELECT refused, duplicate_of FROM batch.enqueue($1::uuid, $2::text, $3::boolean, $4::boolean, $5::smallint[], $6::bigint[], $7::text[],
	$8::text[], $9::text[], $10::bytea[], $11::bigint[], $12::bigint[], $13::integer[], $14::bigint[], $15::text[], $16::text[], $17::bigint[], $18::text[])`)

// columns are messages as storeJobs takes them.
type columns struct {
	levels                    []int16
	delays, enqueued          []int64
	ids, kinds, types         []string
	bodies                    [][]byte
	expiries, timeouts, spans []*int64
	attempts                  []*int32
	headers, keys, groups     []*string
}

// columnsOf makes the columns of messages.
func (d *base) columnsOf(messages []*driver.Message) *columns {
	c := new(columns)
	for _, m := range messages {
		c.levels, c.delays = append(c.levels, int16(m.Level)), append(c.delays, wire.Millis(m.Delay))
		c.ids, c.kinds, c.types = append(c.ids, m.ID), append(c.kinds, m.Kind), append(c.types, m.ContentType)
		body := m.Body
		if body == nil {
			body = []byte{}
		}
		c.bodies, c.enqueued = append(c.bodies, body), append(c.enqueued, m.EnqueuedAt.UnixMilli())
		c.expiries, c.timeouts = append(c.expiries, millisOf(m.ExpiresAt)), append(c.timeouts, orNil(m.Timeout.Milliseconds()))
		c.attempts, c.headers = append(c.attempts, orNil(int32(m.MaxAttempts))), append(c.headers, headersOf(m.Headers))
		c.keys, c.groups = append(c.keys, orNil(m.DedupKey)), append(c.groups, orNil(m.Group))
		var span *int64
		if m.DedupKey != "" {
			within := m.DedupWithin
			if within == 0 {
				within = d.window
			}
			span = orNil(wire.Millis(within))
		}
		c.spans = append(c.spans, span)
	}
	c.expiries, c.timeouts, c.spans, c.attempts = some(c.expiries), some(c.timeouts), some(c.spans), some(c.attempts)
	c.headers, c.keys, c.groups = some(c.headers), some(c.keys), some(c.groups)
	return c
}

// args are the arguments of storeJobs.
func (d *base) args(queue string, patient, ring bool, c *columns) []any {
	return []any{
		d.identity, queue, patient, ring, c.levels, c.delays, c.ids, c.kinds, c.types, c.bodies, c.enqueued,
		c.expiries, c.attempts, c.timeouts, c.headers, c.keys, c.spans, c.groups,
	}
}

// refusal is a job that storeJobs did not store.
type refusal struct {
	index int
	of    *string // nil: a transaction holds its key
}

// Enqueue stores messages in one transaction. Those whose keys other transactions hold are
// stored after the others, each by itself.
func (d *base) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	const op = "enqueue"
	if len(messages) == 0 {
		return nil
	}
	results := make([]driver.Result, len(messages))
	index := make([]int, 0, len(messages))
	good := make([]*driver.Message, 0, len(messages))
	for i, m := range messages {
		if results[i].Err = faults.CheckDelay(op, queue, m, maxDelay); results[i].Err == nil {
			index, good = append(index, i), append(good, m)
		}
	}
	good, index, left := leaveTwins(good, index)
	if len(good) == 0 {
		return results
	}
	defer func() { left.answer(messages, results) }()
	refused, err := d.store(ctx, queue, false, good)
	if err != nil {
		for _, i := range index {
			results[i].Err = fail(op, queue, err)
		}
		return results
	}
	var busy sync.WaitGroup
	for _, r := range refused {
		i := index[r.index]
		if r.of != nil {
			results[i] = driver.Result{Duplicate: true, DuplicateOf: *r.of}
			continue
		}
		busy.Go(func() { results[i] = d.storeOne(ctx, queue, messages[i]) })
	}
	busy.Wait()
	return results
}

// storeOne stores a message whose key another transaction holds, when that has ended.
func (d *base) storeOne(ctx context.Context, queue string, m *driver.Message) driver.Result {
	refused, err := d.store(ctx, queue, true, []*driver.Message{m})
	switch {
	case err != nil:
		return driver.Result{Err: fail("enqueue", queue, err)}
	case len(refused) > 0:
		return driver.Result{Duplicate: true, DuplicateOf: textOf(refused[0].of)}
	}
	return driver.Result{}
}

// store stores messages in a transaction of its own.
func (d *base) store(ctx context.Context, queue string, patient bool, messages []*driver.Message) (refused []refusal, err error) {
	ring := d.bell.rings(queue)
	most := patience
	for _, m := range messages {
		most += time.Duration(m.Size()) * time.Microsecond // a megabyte a second, at the slowest
	}
	if patient {
		most = 0
	}
	err = d.within(ctx, most, []step{{storeJobs, d.args(queue, patient, ring, d.columnsOf(messages)), func(rows pgx.Rows) error {
		r, err := scanRefusal(rows, len(messages))
		refused = append(refused, r)
		return err
	}}})
	if err != nil {
		return nil, err
	}
	d.bell.local(queue)
	return refused, nil
}

// scanRefusal reads a row of storeJobs.
func scanRefusal(row interface{ Scan(...any) error }, n int) (refusal, error) {
	var r refusal
	if err := row.Scan(&r.index, &r.of); err != nil {
		return r, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if r.index--; r.index < 0 || r.index >= n {
		return r, errAnswer
	}
	return r, nil
}

// EnqueueAtomic stores all messages or none, in one transaction.
func (d *base) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	const op = "enqueue"
	if len(messages) == 0 {
		return nil
	}
	if len(messages) > maxBatch {
		return faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("%d messages, which is more than %d", len(messages), maxBatch), "")
	}
	keys := make(map[string]bool)
	for _, m := range messages {
		if err := faults.CheckDelay(op, queue, m, maxDelay); err != nil {
			return err
		}
		if m.DedupKey != "" && keys[m.DedupKey] {
			return faults.Refuse(op, queue, driver.ErrDuplicate, nil, "")
		}
		keys[m.DedupKey] = true
	}
	err := d.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		refused, err := d.storeIn(ctx, tx, queue, true, messages, false)
		if err == nil && len(refused) > 0 {
			err = errDuplicate
		}
		return err
	})
	if errors.Is(err, errDuplicate) {
		return faults.Refuse(op, queue, driver.ErrDuplicate, nil, "")
	}
	if err != nil {
		return fail(op, queue, err)
	}
	d.bell.local(queue)
	return nil
}

// errDuplicate ends a transaction of which one job is a duplicate.
var errDuplicate = errors.New("duplicate")

// storeIn stores messages in a transaction, whose connection may not know the types of parameters.
func (d *base) storeIn(ctx context.Context, tx pgx.Tx, queue string, ring bool, messages []*driver.Message, untyped bool) ([]refusal, error) {
	args := d.args(queue, true, ring, d.columnsOf(messages))
	if untyped {
		args = literals(args)
	}
	rows, err := tx.Query(ctx, d.text(storeJobs), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var refused []refusal
	for rows.Next() {
		r, err := scanRefusal(rows, len(messages))
		if err != nil {
			return nil, err
		}
		refused = append(refused, r)
	}
	return refused, rows.Err()
}

// inTx runs a transaction of several round trips. An error before the commit says that nothing of it is
// stored.
func (d *base) inTx(ctx context.Context, run func(context.Context, pgx.Tx) error) error {
	if err := d.life.Begin(ctx); err != nil {
		return err
	}
	defer d.life.End()
	bound, release := d.bind(ctx)
	defer release()
	tx, err := d.pool.Begin(bound)
	if err != nil {
		return fault.NotSent{Err: d.ended(ctx, err)}
	}
	if d.plain {
		_, err = tx.Exec(bound, d.text(makeDurable))
	}
	if err == nil {
		err = run(bound, tx)
	}
	if err != nil {
		_ = tx.Rollback(bound) // a connection that cannot is closed, which does the same
		return fault.NotSent{Err: d.ended(ctx, err)}
	}
	return d.ended(ctx, tx.Commit(bound))
}
