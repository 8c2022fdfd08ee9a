package outbox

import (
	"context"
	"encoding/json"
	"time"

	"github.com/batch-go/batch"
)

// Depth is what a box has.
type Depth struct {
	// Waiting is how many jobs are still to be taken to the broker.
	Waiting int64
	// Parked is how many the broker cannot keep.
	Parked int64
	// Age is how long ago the first of those that wait was written, zero if there is none: what a relay that
	// is away or behind makes grow.
	Age time.Duration
}

// Depth counts the jobs that were committed. The database reads all of the table's index.
func (b *Box) Depth(ctx context.Context) (Depth, error) {
	if err := b.lasts(ctx, "depth"); err != nil {
		return Depth{}, err
	}
	var d Depth
	var age *int64
	if err := b.committed(ctx, func(db querier) error {
		return db.QueryRowContext(ctx, b.text.depth).Scan(&d.Waiting, &d.Parked, &age)
	}); err != nil {
		return Depth{}, b.failed("depth", err)
	}
	if age != nil {
		d.Age = max(time.Duration(*age)*time.Microsecond, 0)
	}
	return d, nil
}

// ParkedJob is a job that the broker cannot keep.
type ParkedJob struct {
	// Row is what [Box.Retry] and [Box.Discard] take.
	Row int64
	// Queue is where it was to go.
	Queue string
	// Job is the job, nil if it cannot be read.
	Job *batch.Prepared
	// Reason is why it is parked.
	Reason string
	// StoredAt is when it was written, and ParkedAt when it was parked, by the database's clock.
	StoredAt, ParkedAt time.Time
}

// Parked lists parked jobs in the order in which they were written, most of them at most, 1 to 1000, behind the
// row after, which is zero for the first.
func (b *Box) Parked(ctx context.Context, after int64, most int) ([]ParkedJob, error) {
	if most < 1 || most > 1000 {
		return nil, invalid("number of jobs", decimal(most), "1 to 1000")
	}
	if err := b.lasts(ctx, "list"); err != nil {
		return nil, err
	}
	rows, err := b.db.QueryContext(ctx, b.text.parked, after, most)
	if err != nil {
		return nil, b.failed("list", err)
	}
	defer rows.Close()
	var all []ParkedJob
	for rows.Next() {
		var p ParkedJob
		var queue, form []byte
		var stored, parked int64
		var reason *string
		if err := rows.Scan(&p.Row, &queue, &form, &stored, &parked, &reason); err != nil {
			return nil, b.failed("list", err)
		}
		p.Queue, p.StoredAt, p.ParkedAt = string(queue), time.UnixMicro(stored).UTC(), time.UnixMicro(parked).UTC()
		if reason != nil {
			p.Reason = *reason
		}
		if job := new(batch.Prepared); json.Unmarshal(form, job) == nil {
			p.Job = job
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, b.failed("list", err)
	}
	return all, nil
}

// Retry has parked jobs tried again, and returns how many there were. A job that is not parked is left alone.
func (b *Box) Retry(ctx context.Context, rows ...int64) (int64, error) {
	return b.each(ctx, "retry", b.text.retry, rows)
}

// Discard deletes jobs, parked or waiting, and returns how many there were. One that a relay is just
// taking to the broker is there nevertheless.
func (b *Box) Discard(ctx context.Context, rows ...int64) (int64, error) {
	return b.each(ctx, "discard", b.text.discard, rows)
}
