package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// page reads the first jobs that wait, but for those of queues that rest.
func (r *Relay) page(ctx context.Context) ([]*row, error) {
	text, args := r.box.text.pending, []any(nil)
	for name, o := range r.queues {
		if o.rests() && len(args) < mostRows {
			text, args = text+", ?", append(args, []byte(name))
		}
	}
	rows, err := r.box.db.QueryContext(ctx, text+r.box.text.first, append(args, pageRows)...)
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

// carry takes the first jobs that wait to the target, and returns how many left the table. It stops early if the lease is
// about to end. A queue that fails rests for a while, and holds up no other: then broken is why. With an error, which is
// the database's, some may be stored that are in the table still.
func (r *Relay) carry(ctx context.Context, t *term, identity string) (n int, broken, err error) {
	reading, cancel := context.WithTimeout(ctx, t.left())
	rows, err := r.page(reading)
	cancel()
	if err != nil {
		return 0, nil, err
	}
	if len(rows) < pageRows {
		r.forgive(rows)
	}
	for _, left := range byQueue(rows) {
		o := r.outlet(left[0].queue)
		for len(left) > 0 && !o.rests() && t.left() > r.config.Lease/3 {
			some := left[:together(left)]
			left = left[len(some):]
			call, cancel := context.WithTimeout(ctx, r.config.Lease/3)
			failed := r.send(call, o, identity, some)
			cancel()
			o.note(failed)
			if failed != nil {
				broken = failed
			}
			gone, err := r.forget(ctx, some)
			if n += gone; err != nil {
				return n, broken, err
			}
		}
	}
	return n, broken, nil
}

// byQueue sorts jobs by their queues, in the order in which they were written.
func byQueue(rows []*row) (all [][]*row) {
	place := make(map[string]int)
	for _, one := range rows {
		i, known := place[one.queue]
		if !known {
			i, all = len(all), append(all, nil)
			place[one.queue] = i
		}
		all[i] = append(all[i], one)
	}
	return all
}

// outlet is the queue of the target of that name.
func (r *Relay) outlet(name string) *outlet {
	o := r.queues[name]
	if o == nil {
		o = new(outlet)
		o.queue, o.wrong = batch.TryNewQueue(r.target, name)
		r.queues[name] = o
	}
	return o
}

// forgive forgets the failures of queues that could be tried again and have nothing left, as rows are all that waits for
// such queues: it was discarded.
func (r *Relay) forgive(rows []*row) {
	for name, o := range r.queues {
		if !o.rests() && !slices.ContainsFunc(rows, func(one *row) bool { return one.queue == name }) {
			o.note(nil)
		}
	}
}

// together is how many of the first rows of a queue go in one request: either all have a key or none, and no two are of one
// group, so that one that fails is not overtaken.
func together(rows []*row) int {
	groups := make(map[string]bool)
	first := rows[0]
	for n, one := range rows {
		group := one.entry.Group
		if (one.entry.DedupKey == "") != (first.entry.DedupKey == "") || groups[group] {
			return n
		}
		if group != "" {
			groups[group] = true
		}
	}
	return len(rows)
}

// send stores jobs on the target: each is stored or refused afterwards, unless there is an error.
func (r *Relay) send(ctx context.Context, o *outlet, identity string, rows []*row) error {
	var wanted []*row
	for _, one := range rows {
		if one.refused == nil {
			one.refused = o.wrong
		}
		if one.refused == nil {
			wanted = append(wanted, one)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	var failed error
	for i, result := range r.request(ctx, o.queue, identity, wanted) {
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

// forget deletes the rows of jobs that are stored, and parks those that are refused. It returns how many these are.
func (r *Relay) forget(ctx context.Context, rows []*row) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	var stored []int64
	for _, one := range rows {
		switch {
		case one.stored:
			stored = append(stored, one.id)
		case one.refused != nil:
			if err := r.park(ctx, one); err != nil {
				return n, err
			}
			n++
		}
	}
	_, err = r.box.each(ctx, "delete", r.box.text.remove, stored)
	return n + len(stored), err
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
