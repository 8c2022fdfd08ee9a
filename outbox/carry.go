package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/batch-go/batch"
)

const (
	// pageRows and pageBytes bound what is read at once.
	pageRows  = 100
	pageBytes = 8 << 20
	// mostReason bounds the text of a parked job, in bytes.
	mostReason = 2000
)

// row is one of a box on its way.
type row struct {
	id    int64
	queue string
	job   *batch.Prepared
	entry batch.Entry
	// refused is why the target cannot keep it, nil if that is not known.
	refused error
	stored  bool
}

// page reads the first jobs that wait.
func (r *Relay) page(ctx context.Context) ([]*row, error) {
	rows, err := r.box.db.QueryContext(ctx, r.box.text.pending, pageRows)
	if err != nil {
		return nil, r.box.failed("read", err)
	}
	defer rows.Close()
	var all []*row
	for size := 0; size < pageBytes && rows.Next(); {
		one := &row{job: new(batch.Prepared)}
		var queue, form []byte
		if err := rows.Scan(&one.id, &queue, &form); err != nil {
			return nil, r.box.failed("read", err)
		}
		if one.queue, size = string(queue), size+len(form); json.Valid(form) {
			one.refused = json.Unmarshal(form, one.job)
		} else {
			one.refused = errors.New("the row is no prepared job")
		}
		one.entry = one.job.Entry()
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, r.box.failed("read", err)
	}
	return all, nil
}

// carry takes the first jobs that wait to the target, and returns how many there were. It stops early if the lease is about
// to end. With an error some may be stored that are in the table still.
func (r *Relay) carry(ctx context.Context, t *term, identity string) (int, error) {
	reading, cancel := context.WithTimeout(ctx, t.left())
	rows, err := r.page(reading)
	cancel()
	if err != nil {
		return 0, err
	}
	for left := rows; len(left) > 0 && t.left() > r.config.Lease/3; {
		n := together(left)
		some := left[:n]
		left = left[n:]
		call, cancel := context.WithTimeout(ctx, r.config.Lease/3)
		failed := r.send(call, identity, some)
		cancel()
		if err := errors.Join(failed, r.forget(ctx, some)); err != nil {
			return len(rows), err
		}
	}
	return len(rows), nil
}

// together is how many of the first rows go in one request: they are of one queue, either all with a key or none, and no two
// are of one group, so that one that fails is not overtaken.
func together(rows []*row) int {
	groups := make(map[string]bool)
	first := rows[0]
	for n, one := range rows {
		group := one.entry.Group
		if one.queue != first.queue || (one.entry.DedupKey == "") != (first.entry.DedupKey == "") || groups[group] {
			return n
		}
		if group != "" {
			groups[group] = true
		}
	}
	return len(rows)
}

// send stores jobs on the target: each is stored or refused afterwards, unless there is an error.
func (r *Relay) send(ctx context.Context, identity string, rows []*row) error {
	q, err := r.queue(rows[0].queue)
	var wanted []*row
	for _, one := range rows {
		if one.refused == nil {
			one.refused = err
		}
		if one.refused == nil {
			wanted = append(wanted, one)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	var failed error
	for i, result := range r.request(ctx, q, identity, wanted) {
		one := wanted[i]
		switch {
		case result.Err == nil:
			one.stored = true
			r.count(func(s *Stats) {
				s.Relayed++
				switch {
				case result.Duplicate && result.ID == one.job.ID():
					s.Repeated++
				case result.Duplicate:
					s.Duplicates++
				}
			})
		case unfit(result.Err):
			one.refused = result.Err
		case failed == nil:
			failed = fmt.Errorf("outbox: take job %s to queue %s: %w", one.job.ID(), one.queue, result.Err)
		}
	}
	return failed
}

// request sends jobs. A key that the target checks tells jobs apart that were sent before, and so does the number of
// the row, if the target remembers what it has imported.
func (r *Relay) request(ctx context.Context, q *batch.Queue[batch.Importer], identity string, rows []*row) []batch.Result {
	if rows[0].entry.DedupKey != "" {
		jobs := make([]*batch.Prepared, len(rows))
		for i, one := range rows {
			jobs[i] = one.job
		}
		results, _ := q.EnqueuePrepared(ctx, jobs...) // the results have the errors
		return results
	}
	entries := make([]batch.Entry, len(rows))
	for i, one := range rows {
		entries[i] = one.entry
		if r.once {
			entries[i].ImportKey = "outbox:" + identity + ":" + strconv.FormatInt(one.id, 10)
		}
	}
	results, _ := batch.Import(ctx, q, entries) // the same
	return results
}

// unfit tells whether an error says that the target cannot keep a job, now or later.
func unfit(err error) bool {
	return errors.Is(err, batch.ErrInvalid) || errors.Is(err, batch.ErrCapability) || errors.Is(err, batch.ErrTooLarge)
}

// queue is a handle on the target's queue of that name.
func (r *Relay) queue(name string) (*batch.Queue[batch.Importer], error) {
	if q := r.queues[name]; q != nil {
		return q, nil
	}
	q, err := batch.TryNewQueue(r.target, name)
	if err == nil {
		r.queues[name] = q
	}
	return q, err
}

// forget deletes the rows of jobs that are stored, and parks those that are refused.
func (r *Relay) forget(ctx context.Context, rows []*row) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	var stored []int64
	for _, one := range rows {
		switch {
		case one.stored:
			stored = append(stored, one.id)
		case one.refused != nil:
			if err := r.park(ctx, one); err != nil {
				return err
			}
		}
	}
	_, err := r.box.each(ctx, "delete", r.box.text.remove, stored)
	return err
}

// park parks a job.
func (r *Relay) park(ctx context.Context, one *row) error {
	reason := strings.ToValidUTF8(one.refused.Error(), "�")
	for n := mostReason; len(reason) > mostReason; n-- {
		if utf8.RuneStart(reason[n]) {
			reason = reason[:n]
		}
	}
	result, err := r.box.db.ExecContext(ctx, r.box.text.park, reason, one.id)
	if err != nil {
		return r.box.failed("park", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err // it was discarded meanwhile
	}
	r.count(func(s *Stats) { s.Parked++ })
	r.config.Log.WarnContext(ctx, "outbox: a job is parked, as the broker cannot keep it",
		"table", r.box.name, "row", one.id, "id", one.job.ID(), "kind", one.job.Kind(), "queue", one.queue, "error", one.refused)
	return nil
}
