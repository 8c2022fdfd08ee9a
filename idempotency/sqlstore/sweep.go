package sqlstore

import (
	"context"

	"github.com/batch-go/batch/idempotency/internal/table"
)

// Sweep deletes what has expired, an hour ago on PostgreSQL and MySQL, a thousand rows at a
// time, until nothing is left or ctx ends, and returns how many rows went. Nothing needs it in the long run, as
// each Begin that claims a key has a share in the cleaning: it is for what has heaped up,
// when a queue was much busier than it is now.
func (s *Store) Sweep(ctx context.Context) (int64, error) {
	var all int64
	for {
		n, err := s.clean(ctx, table.CleanMany)
		all += n
		if err != nil || n < table.CleanMany {
			return all, err
		}
	}
}
