package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

var (
	// listWaiting reads two indexes in their order: those that are ready, and those behind others of their group.
	listWaiting = newStatement(`WITH q AS MATERIALIZED (SELECT batch.enter($1::text) AS id)
		SELECT seq, pos, 0::bigint,` + jobColumns + `FROM (
			(SELECT j.* FROM batch.jobs j WHERE j.queue = (SELECT id FROM q) AND j.state = 'w' AND (-j.level::integer, j.pos) > ($2::integer, $3::bigint) ORDER BY j.level DESC, j.pos LIMIT $4::integer)
			UNION ALL
			(SELECT j.* FROM batch.jobs j WHERE j.queue = (SELECT id FROM q) AND j.state = 'b' AND (-j.level::integer, j.pos) > ($2::integer, $3::bigint) ORDER BY j.level DESC, j.pos LIMIT $4::integer)
		) j ORDER BY level DESC, pos LIMIT $4::integer`)

	listScheduled = newStatement(`SELECT seq, pos, (extract(epoch FROM due) * 1000000)::bigint,` + jobColumns + `FROM batch.jobs
		WHERE queue = (SELECT batch.enter($1::text)) AND state = 's' AND (due, seq) > (to_timestamp(0) + $2::bigint * interval '1 microsecond', $3::bigint)
		ORDER BY due, seq LIMIT $4::integer`)

	findJob = newStatement(`SELECT seq, state::text, (extract(epoch FROM due) * 1000000)::bigint,` + jobColumns + `FROM batch.jobs
		WHERE queue = (SELECT batch.enter($1::text)) AND id = $2::text AND state IN ('w', 'b', 's') ORDER BY seq LIMIT 1`)

	findDead = newStatement(`SELECT seq, (extract(epoch FROM dead_at) * 1000000)::bigint, reason,` + jobColumns + `FROM batch.dead
		WHERE queue = (SELECT batch.enter($1::text)) AND id = $2::text ORDER BY dead_at, seq LIMIT 1`)

	deleteJob = newStatement(`WITH gone AS (
			DELETE FROM batch.jobs WHERE seq = $2::bigint AND state IN ('w', 'b', 's') RETURNING queue, state, grp, dedup_key, dedup_number
		), ` + freeKeys + `, counted AS (
			INSERT INTO batch.tallies (queue, waiting, scheduled)
			SELECT queue, -count(*) FILTER (WHERE state <> 's'), -count(*) FILTER (WHERE state = 's') FROM gone GROUP BY queue
		) SELECT count(*) FROM gone WHERE queue = (SELECT batch.enter($1::text))`)
)

// lastLevel is beyond all levels that a row can have.
const lastLevel = 1 << 16

// List returns jobs in one state.
func (d *base) List(ctx context.Context, queue string, state driver.State, cursor string, most int) ([]driver.Entry, string, error) {
	const op = "list"
	if state == driver.StateDead {
		letters, next, err := d.DeadLetters(ctx, queue, cursor, most)
		var page []driver.Entry
		for i := range letters {
			page = append(page, letters[i].Entry())
		}
		return page, next, err
	}
	at, seq, err := readCursor(op, queue, cursor, most)
	if err != nil {
		return nil, "", err
	}
	s := listWaiting
	switch {
	case state == driver.StateScheduled:
		s = listScheduled
	case state != driver.StateWaiting:
		return nil, "", faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("the state %d is none", state), "")
	case cursor == "":
		at = -lastLevel // before all levels
	case at < -lastLevel || at > lastLevel:
		return nil, "", faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("the cursor is none that this driver made"), "")
	}
	var page []driver.Entry
	err = d.whole(ctx, d.mustExist(queue), step{s, []any{queue, at, seq, most}, func(rows pgx.Rows) error {
		var r record
		var pos, due int64
		if err := r.scan(rows, &seq, &pos, &due); err != nil {
			return err
		}
		at = due
		if state == driver.StateWaiting {
			at, seq = -int64(r.level), pos
		}
		page = append(page, entryOf(&r, state, due))
		return nil
	}})
	if err != nil {
		return nil, "", fail(op, queue, err)
	}
	if len(page) < most {
		return page, "", nil
	}
	return page, fmt.Sprintf("%d.%d", at, seq), nil
}

// entryOf makes an entry of a row. due is in Unix microseconds.
func entryOf(r *record, state driver.State, due int64) driver.Entry {
	m, _ := r.message() // one that cannot be read is shown as far as it can
	e := driver.Entry{
		Message: m, State: state, Failures: int(r.failures), LastError: string(r.lastError), Deliveries: int(r.deliveries),
		Bounces: int(r.bounces), BouncedSince: timeOf(r.bouncedSince),
	}
	if state == driver.StateScheduled {
		e.DueAt = inYears(time.UnixMicro(due))
	}
	return e
}

// found is a job that a search came upon.
type found struct {
	entry driver.Entry
	seq   int64
}

// find looks for a job with an ID that is not running.
func (d *base) find(ctx context.Context, op, queue, id string) (*found, error) {
	var f *found
	// The dead first: a redrive that is committed between the two looks has put there what the second sees.
	err := d.whole(ctx,
		step{findDead, []any{queue, id}, func(rows pgx.Rows) error {
			var at, seq int64
			letter, err := scanDead(rows, &at, &seq)
			f = &found{letter.Entry(), seq}
			return err
		}},
		step{findJob, []any{queue, id}, func(rows pgx.Rows) error {
			var r record
			var state string
			var due *int64
			if err := r.scan(rows, &r.seq, &state, &due); err != nil {
				return err
			}
			if state == "s" {
				f = &found{entryOf(&r, driver.StateScheduled, *due), r.seq}
			} else {
				f = &found{entryOf(&r, driver.StateWaiting, 0), r.seq}
			}
			return nil
		}})
	if err == nil && f == nil {
		return nil, faults.Refuse(op, queue, driver.ErrNotFound, fmt.Errorf("no job %s is waiting, scheduled or dead", id), "")
	}
	return f, fail(op, queue, err)
}

// Find returns the job with this ID. It reads the whole queue.
func (d *base) Find(ctx context.Context, queue, id string) (driver.Entry, error) {
	f, err := d.find(ctx, "find", queue, id)
	if err != nil {
		return driver.Entry{}, err
	}
	return f.entry, nil
}

// Delete removes the job with this ID, wherever it moves meanwhile. It reads the whole queue.
func (d *base) Delete(ctx context.Context, queue, id string) error {
	const op = "delete"
	for {
		f, err := d.find(ctx, op, queue, id)
		if err != nil {
			return err
		}
		n := 0
		steps := []step{{deleteJob, []any{queue, f.seq}, func(rows pgx.Rows) error { return rows.Scan(&n) }}}
		if f.entry.State == driver.StateDead {
			steps[0].statement = deleteDead
		} else if f.entry.Group != "" {
			steps = append(steps, step{goOn, []any{queue, []string{f.entry.Group}}, nil})
		}
		if err := d.whole(ctx, steps...); err != nil || n > 0 {
			return fail(op, queue, err)
		}
	}
}

// deleteDead removes one dead letter, and frees its key.
var deleteDead = newStatement(`WITH gone AS (
		DELETE FROM batch.dead WHERE seq = $2::bigint RETURNING queue, dedup_key, dedup_number
	), ` + freeKeys + `, counted AS (
		INSERT INTO batch.tallies (queue, dead) SELECT queue, -count(*) FROM gone GROUP BY queue
	) SELECT count(*) FROM gone WHERE queue = (SELECT batch.enter($1::text))`)
