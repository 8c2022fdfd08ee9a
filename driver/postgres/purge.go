package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// purgeJobs removes some of the jobs that waited when the first of its calls was made, and frees their keys.
var purgeJobs = newStatement(`WITH q AS MATERIALIZED (
		SELECT id FROM batch.queues WHERE name = $1::text
	), ready AS MATERIALIZED (
		SELECT j.seq FROM batch.jobs j WHERE j.queue = (SELECT id FROM q) AND j.state = 'w' AND j.pos <= $2::bigint
		ORDER BY j.level DESC, j.pos LIMIT 5000 FOR UPDATE SKIP LOCKED
	), blocked AS MATERIALIZED (
		SELECT j.seq FROM batch.jobs j WHERE j.queue = (SELECT id FROM q) AND j.state = 'b' AND j.pos <= $2::bigint
		ORDER BY j.level DESC, j.pos LIMIT 5000 FOR UPDATE SKIP LOCKED
	), picked AS (
		SELECT seq FROM ready UNION ALL SELECT seq FROM blocked
	), gone AS (
		DELETE FROM batch.jobs j USING picked p WHERE j.seq = p.seq RETURNING j.queue, j.grp, j.dedup_key, j.dedup_number
	), ` + freeKeys + `, counted AS (
		INSERT INTO batch.tallies (queue, waiting) SELECT queue, -count(*) FROM gone GROUP BY queue
	) SELECT count(*), coalesce(array_agg(DISTINCT grp) FILTER (WHERE grp IS NOT NULL), '{}') FROM gone`)

// lastNumber is beyond all jobs that wait now.
var lastNumber = newStatement(`SELECT nextval('batch.numbers'), batch.enter($1::text)`)

// Purge removes the jobs that wait, some thousands at a time.
func (d *base) Purge(ctx context.Context, queue string) (int, error) {
	const op = "purge"
	var last int64
	var id int32
	err := d.whole(ctx, step{lastNumber, []any{queue}, func(rows pgx.Rows) error { return rows.Scan(&last, &id) }})
	purged := 0
	for err == nil {
		var n int
		var groups []string
		err = d.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			err := tx.QueryRow(ctx, d.text(purgeJobs), queue, last).Scan(&n, &groups)
			if err == nil && len(groups) > 0 {
				_, err = tx.Exec(ctx, d.text(goOn), queue, groups)
			}
			return err
		})
		if err == nil {
			purged += n
			if n == 0 {
				return purged, nil
			}
		}
	}
	return purged, fail(op, queue, err)
}
