package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// importJobs stores jobs with their history, and importDead dead letters. Each returns those that it does not
// store, as their import keys are remembered: the place, and the ID of the job that was imported with the key.
// Import keys are among the dedup keys, behind a space, which those have not.
var (
	importJobs = newStatement(importing("bigint delay", "bigint scheduled") + `, stored AS (
			INSERT INTO batch.jobs AS j (seq, queue, state, level, pos, since, due, id, kind, content_type, body, enqueued_at, expires_at,
				max_attempts, timeout_ms, headers, deliveries, failures, bounces, bounced_since, last_error, dedup_key, grp)
			SELECT g.seq, (SELECT id FROM q), CASE WHEN g.scheduled > 0 THEN 's' ELSE 'w' END, g.level, g.seq, clock_timestamp(),
				CASE WHEN g.scheduled > 0 THEN clock_timestamp() + g.delay * interval '1 millisecond' END,
				g.id, g.kind, g.content_type, g.body, g.enqueued_at, g.expires_at, g.max_attempts, g.timeout_ms, g.headers,
				g.deliveries, g.failures, g.bounces, g.bounced_since, g.last_error, g.dedup_key, g.grp
			FROM given g WHERE g.import_key IS NULL OR g.seq IN (SELECT number FROM taken) ORDER BY g.n
			RETURNING j.seq, j.queue, j.state
		), counted AS (
			INSERT INTO batch.tallies (queue, waiting, scheduled)
			SELECT queue, count(*) FILTER (WHERE state = 'w'), count(*) FILTER (WHERE state = 's') FROM stored GROUP BY queue
		)` + notImported)

	importDead = newStatement(importing("bigint dead_at", "text reason") + `, stored AS (
			INSERT INTO batch.dead AS x (seq, queue, dead_at, reason, level, id, kind, content_type, body, enqueued_at, expires_at,
				max_attempts, timeout_ms, headers, deliveries, failures, bounces, bounced_since, last_error, dedup_key, grp)
			SELECT g.seq, (SELECT id FROM q), to_timestamp(0) + g.dead_at * interval '1 microsecond', g.reason, g.level, g.id, g.kind, g.content_type,
				g.body, g.enqueued_at, g.expires_at, g.max_attempts, g.timeout_ms, g.headers, g.deliveries, g.failures, g.bounces, g.bounced_since, g.last_error,
				g.dedup_key, g.grp
			FROM given g WHERE g.import_key IS NULL OR g.seq IN (SELECT number FROM taken)
			RETURNING x.seq, x.queue
		), counted AS (
			INSERT INTO batch.tallies (queue, dead) SELECT queue, count(*) FROM stored GROUP BY queue
		)` + notImported)

	// forgetImports forgets import keys of a queue.
	forgetImports = newStatement(`DELETE FROM batch.keys WHERE queue = (SELECT batch.enter($1::text)) AND key IN (SELECT ' ' || k FROM unnest($2::text[]) AS k)`)
)

// notImported are the entries that were not stored.
const notImported = ` SELECT g.n::integer, (SELECT k.id FROM batch.keys k WHERE k.queue = (SELECT id FROM q) AND k.key = ' ' || g.import_key)
		FROM given g WHERE g.import_key IS NOT NULL AND g.seq NOT IN (SELECT s.seq FROM stored s)`

// importing is the beginning of both: the entries, with two columns of their own, and the keys that they take.
func importing(first, second string) string {
	kind1, name1, _ := strings.Cut(first, " ")
	kind2, name2, _ := strings.Cut(second, " ")
	return `WITH q AS MATERIALIZED (SELECT batch.enter($1::text) AS id), given AS MATERIALIZED (
			SELECT nextval('batch.numbers') AS seq, t.* FROM unnest($2::` + kind1 + `[], $3::` + kind2 + `[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::bytea[],
				$9::bigint[], $10::bigint[], $11::integer[], $12::bigint[], $13::text[], $14::integer[], $15::integer[], $16::integer[], $17::bigint[], $18::bytea[], $19::text[], $20::text[], $21::text[])
				WITH ORDINALITY AS t (` + name1 + `, ` + name2 + `, level, id, kind, content_type, body, enqueued_at, expires_at, max_attempts, timeout_ms, headers,
				deliveries, failures, bounces, bounced_since, last_error, dedup_key, grp, import_key, n)
		), taken AS (
			INSERT INTO batch.keys AS k (queue, key, number, id, expires)
			SELECT (SELECT id FROM q), ' ' || g.import_key, g.seq, g.id, clock_timestamp() + $22::bigint * interval '1 millisecond'
			FROM given g WHERE g.import_key IS NOT NULL ORDER BY g.import_key COLLATE "C"
			ON CONFLICT (queue, key) DO UPDATE SET number = EXCLUDED.number, id = EXCLUDED.id, expires = EXCLUDED.expires
				WHERE k.expires <= clock_timestamp()
			RETURNING k.number
		)`
}

// ForgetImports forgets import keys.
func (d *base) ForgetImports(ctx context.Context, queue string, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return fail("forget imports", queue, d.whole(ctx, d.mustExist(queue), step{forgetImports, []any{queue, keys}, nil}))
}

// Import stores jobs with their history, in one transaction.
func (d *base) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	const op = "import"
	if len(entries) == 0 {
		return nil
	}
	results := make([]driver.Result, len(entries))
	var live, dead []int
	left, first := make(map[int]int), make(map[string]int)
	for i, e := range entries {
		if results[i].Err = checkEntry(op, queue, e); results[i].Err != nil {
			continue
		}
		if at, twin := first[e.ImportKey]; twin && e.ImportKey != "" {
			left[i] = at
			continue
		}
		first[e.ImportKey] = i
		if e.State == driver.StateDead {
			dead = append(dead, i)
		} else {
			live = append(live, i)
		}
	}
	var steps []step
	for _, part := range []struct {
		statement statement
		index     []int
	}{{importJobs, live}, {importDead, dead}} {
		if len(part.index) > 0 {
			steps = append(steps, step{part.statement, d.importArgs(queue, entries, part.index), noteImported(part.index, results)})
		}
	}
	if len(steps) == 0 {
		return results
	}
	err := d.whole(ctx, append(steps, d.ringing(queue)...)...)
	if err != nil {
		for _, i := range append(live, dead...) {
			results[i] = driver.Result{Err: fail(op, queue, err)}
		}
	}
	for i, at := range left { // two in one call
		results[i] = results[at]
		if r := results[at]; r.Err == nil && !r.Duplicate {
			results[i] = driver.Result{Duplicate: true, DuplicateOf: entries[at].ID}
		}
	}
	d.bell.local(queue)
	return results
}

// checkEntry refuses an entry that cannot be imported.
func checkEntry(op, queue string, e *driver.Entry) error {
	if err := faults.CheckEntry(queue, e, maxDelay, maxCount); err != nil {
		return err
	}
	if !isText(e.ImportKey) {
		return faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("the import key of job %q is no text", e.ID), "")
	}
	return checkText(op, queue, &e.Message, e.Reason)
}

// noteImported reads what was not stored of the entries at index.
func noteImported(index []int, results []driver.Result) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		r, err := scanRefusal(rows, len(index))
		if err == nil {
			results[index[r.index]] = driver.Result{Duplicate: true, DuplicateOf: textOf(r.of)}
		}
		return err
	}
}

// importArgs are the arguments of importJobs, or of importDead if the entries are dead.
func (d *base) importArgs(queue string, entries []*driver.Entry, index []int) []any {
	n := len(index)
	messages := make([]*driver.Message, n)
	deliveries, failures, bounces := make([]int32, n), make([]int32, n), make([]int32, n)
	since, texts, reasons := make([]*int64, n), make([][]byte, n), make([]string, n)
	keys := make([]*string, n)
	delays, scheduled, deaths := make([]int64, n), make([]int64, n), make([]int64, n)
	for k, i := range index {
		e := entries[i]
		messages[k] = &e.Message
		deliveries[k], failures[k], bounces[k] = count(e.Deliveries), count(e.Failures), count(e.Bounces)
		since[k], texts[k], reasons[k] = millisOf(e.BouncedSince), []byte(e.LastError), e.Reason
		keys[k] = orNil(e.ImportKey)
		delays[k], deaths[k] = wire.Millis(e.Delay), deathOf(e.DeadAt)
		if e.State == driver.StateScheduled {
			scheduled[k] = 1
		}
	}
	c := d.columnsOf(messages)
	first := []any{queue, delays, scheduled}
	if entries[index[0]].State == driver.StateDead {
		first = []any{queue, deaths, reasons}
	}
	return append(first, c.levels, c.ids, c.kinds, c.types, c.bodies, c.enqueued, c.expiries, c.attempts, c.timeouts, c.headers,
		deliveries, failures, bounces, since, texts, c.keys, c.groups, some(keys), wire.Millis(d.window))
}
