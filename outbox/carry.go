package outbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
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
	// pageBytes bounds what is read at once, but for the last job of it.
	pageBytes = 8 << 20
	// mostReason bounds the text of a parked job, in bytes.
	mostReason = 2000
)

// row is one of a box on its way.
type row struct {
	key
	queue string
	job   *batch.Prepared
	entry batch.Entry
	sum   string // of the stored form
	// refused is why the target cannot keep it, nil if that is not known.
	refused error
	stored  bool
}

// page reads the first jobs of a queue that wait.
func (r *Relay) page(ctx context.Context, queue string) (page []*row, err error) {
	err = r.box.committed(ctx, func(db querier) error {
		page = nil
		keys, forms, err := r.box.first(ctx, db, queue)
		if err != nil {
			return err
		}
		size := 0
		for i, k := range keys {
			if size >= pageBytes {
				return nil
			}
			form := forms[i]
			if form == nil {
				err := db.QueryRowContext(ctx, r.box.text.form, k.id).Scan(&form)
				if errors.Is(err, sql.ErrNoRows) {
					continue // it was discarded just now
				}
				if err != nil {
					return err
				}
			}
			size += len(form)
			page = append(page, r.read(k, queue, form))
		}
		return nil
	})
	if err != nil {
		return nil, r.box.failed("read", err)
	}
	return page, nil
}

// read reads a row.
func (r *Relay) read(k key, queue string, form []byte) *row {
	sum := sha256.Sum256(form)
	one := &row{key: k, queue: queue, job: new(batch.Prepared), sum: base64.RawURLEncoding.EncodeToString(sum[:24])}
	one.stored = r.sent[k.id] == one.sum // of another job that had the number it says nothing
	if json.Valid(form) {
		one.refused = json.Unmarshal(form, one.job)
	} else {
		one.refused = errors.New("the row is no prepared job")
	}
	one.entry = one.job.Entry()
	return one
}

// carry takes the first jobs of each queue that wait to the target, and returns how many left the table. It stops early if the
// lease is about to end; the queues behind are the first ones then. A queue that fails rests for a while, and holds up no other:
// then broken is why. With an error, which is the database's, some may be stored that are in the table still.
func (r *Relay) carry(ctx context.Context, t *term, identity string) (n int, broken, err error) {
	reading, cancel := context.WithTimeout(ctx, t.left())
	names, err := r.box.queues(reading)
	cancel()
	if err != nil {
		return 0, nil, err
	}
	r.forgive(names)
	behind, found := slices.BinarySearch(names, r.last)
	if found {
		behind++
	}
	for _, name := range slices.Concat(names[behind:], names[:behind]) {
		o := r.outlet(name)
		if o.rests() || t.left() <= r.config.Lease/3 {
			continue
		}
		r.last = name
		gone, failed, err := r.serve(ctx, t, o, name, identity)
		if failed != nil {
			broken = failed
		}
		if n += gone; err != nil {
			return n, broken, err
		}
	}
	return n, broken, nil
}

// serve is carry for a queue.
func (r *Relay) serve(ctx context.Context, t *term, o *outlet, name, identity string) (n int, broken, err error) {
	reading, cancel := context.WithTimeout(ctx, t.left())
	left, err := r.page(reading, name)
	cancel()
	for err == nil && broken == nil && len(left) > 0 && t.left() > r.config.Lease/3 {
		some := left[:together(left)]
		left = left[len(some):]
		call, cancel := context.WithTimeout(ctx, r.config.Lease/3)
		broken = r.send(call, o, identity, some)
		cancel()
		o.note(broken)
		var gone int
		gone, err = r.forget(ctx, some)
		n += gone
	}
	return n, broken, err
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

// forgive forgets the failures of queues that have nothing left: it was discarded. These have something.
func (r *Relay) forgive(names []string) {
	for name, o := range r.queues {
		if _, left := slices.BinarySearch(names, name); !left {
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
		if one.refused == nil && !one.stored {
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
		case result.Err == nil && result.Duplicate && one.entry.DedupKey == "" && result.ID != one.job.ID():
			// The key of the import is of this row and this form. To take another job for this one would lose it.
			failed = fmt.Errorf("outbox: queue %s takes job %s for job %s, which it imported before", one.queue, one.job.ID(), result.ID)
		case result.Err == nil:
			one.stored, r.sent[one.id] = true, one.sum
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

// request sends jobs. A key that the target checks tells jobs apart that were sent before, and so does the number of the row,
// if the target remembers what it has imported, together with what the row has: a table that was restored from a copy
// gives its numbers a second time.
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
			entries[i].ImportKey = "outbox:" + identity + ":" + strconv.FormatInt(one.id, 10) + ":" + one.sum
		}
	}
	results, _ := batch.Import(ctx, q, entries) // the same
	return results
}

// unfit tells whether an error says that the target cannot keep a job, now or later.
func unfit(err error) bool {
	return errors.Is(err, batch.ErrInvalid) || errors.Is(err, batch.ErrCapability) || errors.Is(err, batch.ErrTooLarge)
}

// forget deletes the rows of jobs that are stored, and then parks those that are refused. It returns how many these are. What
// could not be deleted is remembered, and not sent again. The end of the relay does not interrupt it.
func (r *Relay) forget(ctx context.Context, rows []*row) (n int, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(grace, r.config.Lease/3))
	defer cancel()
	var stored []key
	for _, one := range rows {
		if one.stored {
			stored = append(stored, one.key)
		}
	}
	if err := r.box.remove(ctx, stored); err != nil {
		return 0, err
	}
	for _, k := range stored {
		delete(r.sent, k.id)
	}
	n = len(stored)
	for _, one := range rows {
		if one.stored || one.refused == nil {
			continue
		}
		if err := r.park(ctx, one); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// park parks a job.
func (r *Relay) park(ctx context.Context, one *row) error {
	reason := strings.ToValidUTF8(one.refused.Error(), "�")
	for n := mostReason; len(reason) > mostReason; n-- {
		if utf8.RuneStart(reason[n]) {
			reason = reason[:n]
		}
	}
	result, err := r.box.db.ExecContext(ctx, r.box.text.park, []byte(reason), one.id, one.at)
	if err != nil {
		return r.box.failed("park", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err // it was discarded meanwhile, or the number is that of another now
	}
	r.count(func(s *Stats) { s.Parked++ })
	r.config.Log.WarnContext(ctx, "outbox: a job is parked, as the broker cannot keep it",
		"table", r.box.name.String(), "row", one.id, "id", one.job.ID(), "kind", one.job.Kind(), "queue", one.queue, "error", one.refused)
	return nil
}
