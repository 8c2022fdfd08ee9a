package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
	"github.com/batch-go/batch/internal/wire"
)

// storeJobs is the function that stores jobs.
var storeJobs = newStatement(`SELECT refused, duplicate_of FROM batch.enqueue(CASE WHEN current_database() = $19::text THEN $1::uuid END, $2::text, $3::boolean, $4::boolean, $5::smallint[], $6::bigint[], $7::text[],
	$8::text[], $9::text[], $10::bytea[], $11::bigint[], $12::bigint[], $13::integer[], $14::bigint[], $15::text[], $16::text[], $17::bigint[], $18::text[])`)

// storeLiterals is storeJobs for literals, in which an empty element stands for NULL: a session with array_nulls
// off takes NULL for a text.
var storeLiterals = newStatement(withoutNulls(sources[storeJobs]))

// withoutNulls makes NULL of the empty elements of the columns of storeJobs that may be unset.
func withoutNulls(text string) string {
	return optional.ReplaceAllString(text, `array_replace($1::text[], '', NULL)::$2[]`)
}

// optional finds the columns from expiries on.
var optional = regexp.MustCompile(`(\$1[2-8])::([a-z]+)\[\]`)

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
		c.expiries, c.attempts, c.timeouts, c.headers, c.keys, c.spans, c.groups, d.database,
	}
}

// refusal is a job that storeJobs did not store.
type refusal struct {
	index int
	of    *string // nil: a transaction holds its key
}

// Enqueue stores messages in one transaction, all but those whose keys other transactions hold.
func (d *base) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	const op = "enqueue"
	if len(messages) == 0 {
		return nil
	}
	results := make([]driver.Result, len(messages))
	index := make([]int, 0, len(messages))
	good := make([]*driver.Message, 0, len(messages))
	for i, m := range messages {
		if results[i].Err = checkNew(op, queue, m); results[i].Err == nil {
			index, good = append(index, i), append(good, m)
		}
	}
	good, index, left := leaveTwins(good, index)
	if len(good) == 0 {
		return results
	}
	defer func() { left.answer(messages, results) }()
	refused, err := d.store(ctx, queue, good)
	if err != nil {
		for _, i := range index {
			results[i].Err = failOwn(op, queue, err)
		}
		return results
	}
	for _, r := range refused {
		if r.of != nil {
			results[index[r.index]] = driver.Result{Duplicate: true, DuplicateOf: *r.of}
			continue
		}
		results[index[r.index]] = driver.Result{Err: faults.Refuse(op, queue, driver.ErrKeyHeld, nil, hintHeld)}
	}
	return results
}

// hintHeld is what to do about a key that a transaction holds.
const hintHeld = "it is known when the transaction has ended"

// store stores messages in a transaction of its own, which waits for no other.
func (d *base) store(ctx context.Context, queue string, messages []*driver.Message) (refused []refusal, err error) {
	ring := d.bell.rings(queue)
	most := patience
	for _, m := range messages {
		most += time.Duration(m.Size()) * time.Microsecond // a megabyte a second, at the slowest
	}
	columns := d.columnsOf(messages)
	run := func(ring bool) error {
		refused = nil
		return d.within(ctx, most, []step{{storeJobs, d.args(queue, false, ring, columns), func(rows pgx.Rows) error {
			r, err := scanRefusal(rows, len(messages))
			refused = append(refused, r)
			return err
		}}})
	}
	if err = run(ring); ring && isTooLoud(err) {
		err = run(false)
	}
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

// EnqueueAtomic stores all messages or none, in one transaction. It waits for those that hold one of the
// keys, and takes no connection meanwhile.
func (d *base) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	const op = "enqueue"
	if len(messages) == 0 {
		return nil
	}
	if len(messages) > maxBatch {
		return faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("%d messages, which is more than %d", len(messages), maxBatch), "")
	}
	var keys []string
	known := make(map[string]bool)
	for _, m := range messages {
		if err := checkNew(op, queue, m); err != nil {
			return err
		}
		if m.DedupKey == "" {
			continue
		}
		if known[m.DedupKey] {
			return faults.Refuse(op, queue, driver.ErrDuplicate, nil, "")
		}
		known[m.DedupKey] = true
		keys = append(keys, m.DedupKey)
	}
	err := d.storeTogether(ctx, queue, keys, messages)
	for pause := lockPause / 8; errors.Is(err, errHeld); pause = min(2*pause, 2*lockPause) {
		if err = d.rest(ctx, pause); err == nil {
			err = d.storeTogether(ctx, queue, keys, messages)
		}
	}
	if errors.Is(err, errDuplicate) {
		return faults.Refuse(op, queue, driver.ErrDuplicate, nil, "")
	}
	if err != nil {
		return failOwn(op, queue, err)
	}
	d.bell.local(queue)
	return nil
}

var (
	// errDuplicate ends a transaction of which one job is a duplicate, and errHeld one of which another
	// transaction holds a key.
	errDuplicate, errHeld = errors.New("duplicate"), errors.New("a transaction holds the key")
	// tryKeys takes keys for a transaction, and counts those that others hold.
	tryKeys = newStatement(`SELECT cardinality(batch.hold_keys(batch.enter($1::text), $2::text[], false))`)
)

// storeTogether stores all messages or none, with these keys.
func (d *base) storeTogether(ctx context.Context, queue string, keys []string, messages []*driver.Message) error {
	return d.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		held := 0
		if len(keys) > 0 {
			if err := tx.QueryRow(ctx, d.text(tryKeys), queue, keys).Scan(&held); err != nil {
				return err
			}
		}
		if held > 0 {
			return errHeld
		}
		refused, err := d.storeIn(ctx, tx, queue, d.bell.audible(), messages, false)
		if err == nil && len(refused) > 0 {
			err = errDuplicate
		}
		return err
	})
}

// rest waits between two tries of a call, on which nothing is under way.
func (d *base) rest(ctx context.Context, pause time.Duration) error {
	bound, release := d.bind(ctx)
	defer release()
	err := lifecycle.Sleep(bound, pause)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.NotSent{Err: ctx.Err()}
	}
	return driver.ErrClosed
}

// storeIn stores messages in a transaction, whose connection may not know the types of parameters.
func (d *base) storeIn(ctx context.Context, tx pgx.Tx, queue string, ring bool, messages []*driver.Message, untyped bool) ([]refusal, error) {
	text, args := d.text(storeJobs), d.args(queue, true, ring, d.columnsOf(messages))
	if untyped {
		text, args = d.text(storeLiterals), literals(args)
	}
	rows, err := tx.Query(ctx, text, args...)
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
