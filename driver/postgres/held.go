package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// stillHeld finds jobs that are held, and tells whether no transaction of the application has locked them.
var stillHeld = newStatement(`SELECT j.seq, pg_try_advisory_xact_lock_shared(('batch.ended'::regclass::oid::bigint - 2147483648)::integer, (j.seq % 2147483647)::integer) FROM unnest($1::bigint[], $2::bigint[]) AS g (seq, token) JOIN batch.jobs j ON j.seq = g.seq AND j.token = g.token AND j.state = 'r'`)

// heldJobs are the rows that a call names and that its holders hold, but for those that a transaction of
// the application has locked: it may end the job, and nobody waits for it. Each is looked up by its number,
// whatever the server believes of how many there are: the other conditions are written so that no other index
// serves them, by which each job would cost as much as there are running.
const heldJobs = `WITH given AS MATERIALIZED (
		SELECT t.* FROM unnest($2::bigint[], $3::bigint[]%s) AS t (seq, token%s)
	), held AS MATERIALIZED (
		SELECT g.* FROM given g CROSS JOIN LATERAL (
			SELECT FROM batch.jobs j
			WHERE j.seq = g.seq AND j.token = g.token AND j.state::text = 'r' AND j.queue + 0 = (SELECT q.id FROM batch.queues q WHERE q.name = $1::text)
			FOR UPDATE SKIP LOCKED) locked
	)`

// heldOnes are the numbers of held, for statements that change those rows: the server looks each up, where
// for a join it may read the whole table.
const heldOnes = `ANY (ARRAY(SELECT h.seq FROM held h))`

// held is heldJobs with further columns, each a type and a name.
func held(columns ...string) string {
	var types, names strings.Builder
	for i, column := range columns {
		kind, name, _ := strings.Cut(column, " ")
		fmt.Fprintf(&types, ", $%d::%s[]", i+4, kind)
		names.WriteString(", " + name)
	}
	return fmt.Sprintf(heldJobs, types.String(), names.String())
}

// findHeld finds the jobs that are held by these receipts, and tells whether another call has locked one of
// them for a moment: the others are locked by transactions of the application.
func (d *base) findHeld(ctx context.Context, receipts []*receipt) (found map[int64]bool, moment bool, err error) {
	seqs, tokens := make([]int64, len(receipts)), make([]int64, len(receipts))
	for i, r := range receipts {
		seqs[i], tokens[i] = r.seq, r.token
	}
	found = make(map[int64]bool)
	err = d.whole(ctx, step{stillHeld, []any{seqs, tokens}, func(rows pgx.Rows) error {
		var seq int64
		var free bool
		err := rows.Scan(&seq, &free)
		found[seq], moment = true, moment || free
		return err
	}})
	return found, moment, err
}
