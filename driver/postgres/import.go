package postgres

import (
	"context"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// importJobs stores jobs with their history, and importDead dead letters.
var (
	importJobs = newStatement(`WITH q AS MATERIALIZED (SELECT batch.enter($1::text) AS id), given AS MATERIALIZED (
			SELECT nextval('batch.numbers') AS seq, t.* FROM unnest($2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::bytea[],
				$9::bigint[], $10::bigint[], $11::integer[], $12::bigint[], $13::text[], $14::integer[], $15::integer[], $16::integer[], $17::bigint[], $18::bytea[], $19::text[], $20::text[])
				AS t (delay, scheduled, level, id, kind, content_type, body, enqueued_at, expires_at, max_attempts, timeout_ms, headers,
				deliveries, failures, bounces, bounced_since, last_error, dedup_key, grp)
		), stored AS (
			INSERT INTO batch.jobs AS j (seq, queue, state, level, pos, since, due, id, kind, content_type, body, enqueued_at, expires_at,
				max_attempts, timeout_ms, headers, deliveries, failures, bounces, bounced_since, last_error, dedup_key, grp)
			SELECT g.seq, (SELECT id FROM q), CASE WHEN g.scheduled > 0 THEN 's' ELSE 'w' END, g.level, g.seq, clock_timestamp(),
				CASE WHEN g.scheduled > 0 THEN clock_timestamp() + g.delay * interval '1 millisecond' END,
				g.id, g.kind, g.content_type, g.body, g.enqueued_at, g.expires_at, g.max_attempts, g.timeout_ms, g.headers,
				g.deliveries, g.failures, g.bounces, g.bounced_since, g.last_error, g.dedup_key, g.grp FROM given g
			RETURNING j.queue, j.state
		)
		INSERT INTO batch.tallies (queue, waiting, scheduled)
		SELECT queue, count(*) FILTER (WHERE state = 'w'), count(*) FILTER (WHERE state = 's') FROM stored GROUP BY queue`)

	importDead = newStatement(`WITH q AS MATERIALIZED (SELECT batch.enter($1::text) AS id), stored AS (
			INSERT INTO batch.dead AS x (seq, queue, dead_at, reason, level, id, kind, content_type, body, enqueued_at, expires_at,
				max_attempts, timeout_ms, headers, deliveries, failures, bounces, bounced_since, last_error, dedup_key, grp)
			SELECT nextval('batch.numbers'), (SELECT id FROM q), to_timestamp(0) + t.dead_at * interval '1 microsecond', t.reason, t.level, t.id, t.kind, t.content_type,
				t.body, t.enqueued_at, t.expires_at, t.max_attempts, t.timeout_ms, t.headers, t.deliveries, t.failures, t.bounces, t.bounced_since, t.last_error, t.dedup_key, t.grp
			FROM unnest($2::bigint[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::bytea[],
				$9::bigint[], $10::bigint[], $11::integer[], $12::bigint[], $13::text[], $14::integer[], $15::integer[], $16::integer[], $17::bigint[], $18::bytea[], $19::text[], $20::text[])
				AS t (dead_at, reason, level, id, kind, content_type, body, enqueued_at, expires_at, max_attempts, timeout_ms, headers,
				deliveries, failures, bounces, bounced_since, last_error, dedup_key, grp)
			RETURNING x.queue
		)
		INSERT INTO batch.tallies (queue, dead) SELECT queue, count(*) FROM stored GROUP BY queue`)
)

// Import stores jobs with their history, in one transaction.
func (d *base) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	const op = "import"
	if len(entries) == 0 {
		return nil
	}
	results := make([]driver.Result, len(entries))
	var live, dead []int
	for i, e := range entries {
		switch results[i].Err = faults.CheckEntry(queue, e, maxDelay, maxCount); {
		case results[i].Err != nil:
		case e.State == driver.StateDead:
			dead = append(dead, i)
		default:
			live = append(live, i)
		}
	}
	var steps []step
	if len(live) > 0 {
		steps = append(steps, step{importJobs, d.importArgs(queue, entries, live), nil})
	}
	if len(dead) > 0 {
		steps = append(steps, step{importDead, d.importArgs(queue, entries, dead), nil})
	}
	if len(steps) == 0 {
		return results
	}
	err := d.whole(ctx, append(steps, step{ringAll, []any{d.schema, queue}, nil})...)
	for _, i := range append(live, dead...) {
		results[i].Err = fail(op, queue, err)
	}
	if err == nil {
		d.bell.local(queue)
	}
	return results
}

// importArgs are the arguments of importJobs, or of importDead if the entries are dead.
func (d *base) importArgs(queue string, entries []*driver.Entry, index []int) []any {
	n := len(index)
	messages := make([]*driver.Message, n)
	deliveries, failures, bounces := make([]int32, n), make([]int32, n), make([]int32, n)
	since, texts, reasons := make([]*int64, n), make([][]byte, n), make([]string, n)
	delays, scheduled, deaths := make([]int64, n), make([]int64, n), make([]int64, n)
	for k, i := range index {
		e := entries[i]
		messages[k] = &e.Message
		deliveries[k], failures[k], bounces[k] = count(e.Deliveries), count(e.Failures), count(e.Bounces)
		since[k], texts[k], reasons[k] = millisOf(e.BouncedSince), []byte(e.LastError), e.Reason
		delays[k], deaths[k] = wire.Millis(e.Delay), e.DeadAt.UnixMicro()
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
		deliveries, failures, bounces, since, texts, c.keys, c.groups)
}
