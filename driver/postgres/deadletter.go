package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

var (
	listDead = newStatement(`SELECT seq, (extract(epoch FROM dead_at) * 1000000)::bigint, reason,` + jobColumns + `FROM batch.dead
		WHERE queue = (SELECT batch.enter($1::text)) AND (dead_at, seq) > (to_timestamp(0) + $2::bigint * interval '1 microsecond', $3::bigint)
		ORDER BY dead_at, seq LIMIT $4::integer`)

	// pickDead are dead letters that a call names, some at a time.
	pickDead = `WITH picked AS MATERIALIZED (
			SELECT x.seq FROM batch.dead x WHERE x.queue = (SELECT batch.enter($1::text)) AND x.seq <= $2::bigint
				AND ($3::text[] IS NULL OR x.id = ANY ($3::text[]))
			ORDER BY x.dead_at, x.seq LIMIT 1000 FOR UPDATE SKIP LOCKED
		), gone AS (
			DELETE FROM batch.dead x USING picked p WHERE x.seq = p.seq RETURNING x.*
		)`

	redriveDead = newStatement(pickDead + `, numbered AS MATERIALIZED (
			SELECT g.*, nextval('batch.numbers') AS number FROM (SELECT * FROM gone ORDER BY dead_at, seq) g
		), back AS (
			INSERT INTO batch.jobs (seq, queue, state, level, pos, since, id, kind, content_type, body, enqueued_at, expires_at,
				max_attempts, timeout_ms, headers, dedup_key, dedup_number, grp)
			SELECT number, queue, 'w', level, number, clock_timestamp(), id, kind, content_type, body, enqueued_at, expires_at,
				max_attempts, timeout_ms, headers, dedup_key, dedup_number, grp FROM numbered
		), counted AS (
			INSERT INTO batch.tallies (queue, dead, waiting) SELECT queue, -count(*), count(*) FROM gone GROUP BY queue
		) SELECT count(*) FROM gone`)

	discardDead = newStatement(pickDead + `, ` + freeKeys + `, counted AS (
			INSERT INTO batch.tallies (queue, dead) SELECT queue, -count(*) FROM gone GROUP BY queue
		) SELECT count(*) FROM gone`)
)

// DeadLetters lists dead letters by when they died. The cursor has the time and the number of the last.
func (d *base) DeadLetters(ctx context.Context, queue, cursor string, most int) ([]driver.DeadLetter, string, error) {
	const op = "dead letters"
	at, seq, err := readCursor(op, queue, cursor, most)
	if err != nil {
		return nil, "", err
	}
	var page []driver.DeadLetter
	err = d.whole(ctx, d.mustExist(queue), step{listDead, []any{queue, at, seq, most}, func(rows pgx.Rows) error {
		letter, err := scanDead(rows, &at, &seq)
		page = append(page, letter)
		return err
	}})
	if err != nil {
		return nil, "", fail(op, queue, err)
	}
	if len(page) < most {
		return page, "", nil
	}
	return page, fmt.Sprintf("%d.%d", at, seq), nil
}

// scanDead reads a dead letter, and when it died and its number.
func scanDead(rows pgx.Rows, at, seq *int64) (driver.DeadLetter, error) {
	var r record
	var letter driver.DeadLetter
	if err := r.scan(rows, seq, at, &letter.Reason); err != nil {
		return letter, err
	}
	// A row with headers that cannot be read is a dead letter for that.
	letter.Message, _ = r.message()
	letter.Failures, letter.LastError, letter.Deliveries = int(r.failures), string(r.lastError), int(r.deliveries)
	letter.Bounces, letter.BouncedSince = int(r.bounces), timeOf(r.bouncedSince)
	letter.DeadAt = inYears(time.UnixMicro(*at))
	return letter, nil
}

// firstTime is before all times that are stored, in Unix microseconds: they are of the years 1 to 9999.
const firstTime = -1 << 56

// deathOf is when a job died, in Unix microseconds. A time beyond those that can be written as text is a damaged one.
func deathOf(at time.Time) int64 {
	if earliest := time.UnixMilli(wire.MinTime); at.Before(earliest) {
		at = earliest
	}
	if last := time.UnixMilli(wire.MaxTime); at.After(last) {
		at = last
	}
	return at.UnixMicro()
}

// readCursor reads where a page begins, and checks its size.
func readCursor(op, queue, cursor string, most int) (at, seq int64, err error) {
	if most < 1 || most > 1000 {
		return 0, 0, faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("max is %d, which is not from 1 to 1000", most), "")
	}
	if cursor == "" {
		return firstTime, 0, nil
	}
	if n, err := fmt.Sscanf(cursor, "%d.%d", &at, &seq); n != 2 || err != nil || fmt.Sprintf("%d.%d", at, seq) != cursor || at < firstTime || at > 1<<60 {
		return 0, 0, faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("the cursor is none that this driver made"), "")
	}
	return at, seq, nil
}

// Redrive moves dead letters back to waiting, each in the order in which they died.
func (d *base) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	n, err := d.eachDead(ctx, redriveDead, queue, which)
	if n > 0 {
		d.bell.local(queue)
		if ring := d.ringing(queue); ring != nil {
			_ = d.whole(ctx, ring...) // else they are found at the next look
		}
	}
	return n, fail("redrive", queue, err)
}

// Discard removes dead letters for good.
func (d *base) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	n, err := d.eachDead(ctx, discardDead, queue, which)
	return n, fail("discard", queue, err)
}

// eachDead runs a statement on the selected dead letters, some at a time.
func (d *base) eachDead(ctx context.Context, s statement, queue string, which driver.Selection) (int, error) {
	var last int64
	var id int32
	err := d.whole(ctx, step{lastNumber, []any{queue}, func(rows pgx.Rows) error { return rows.Scan(&last, &id) }})
	if err != nil || !which.All && len(which.IDs) == 0 {
		return 0, err
	}
	var ids []string
	if !which.All {
		ids = which.IDs
	}
	total := 0
	for {
		var n int
		err := d.whole(ctx, step{s, []any{queue, last, ids}, func(rows pgx.Rows) error { return rows.Scan(&n) }})
		if err != nil || n == 0 {
			return total, err
		}
		total += n
	}
}
