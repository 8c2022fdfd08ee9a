package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

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
