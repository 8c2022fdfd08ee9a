// Package sqlite is a driver for package batch in fewer than 400 lines: jobs in an SQLite file, which any
// number of processes of one machine share. docs/drivers.md goes through it.
//
// Long: it is read from top to bottom, beside that page.
package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	_ "embed"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
	"modernc.org/sqlite"
	code "modernc.org/sqlite/lib"
)

//go:embed schema.sql
var schema string

func init() {
	driver.Register(driver.Registration{
		Name: "sqlite", Schemes: []string{"sqlite"}, Open: open, Types: []driver.Driver{(*Driver)(nil)}})
}

// Driver is a handle on one file.
type Driver struct {
	db    *sql.DB
	alive context.Context // ends with Close, for the reason ErrClosed
	end   context.CancelCauseFunc
}

// open is a driver.Opener: it refuses what is wrong with the URL, and returns when the file has been found fit.
func open(ctx context.Context, u *url.URL) (driver.Driver, error) {
	p := driver.NewParams("sqlite", u)
	if u.Host != "" || u.User != nil || u.Path == "" {
		p.Refuse("the URL is not of the form sqlite:///path/to/file")
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	// FULL: what was confirmed survives a power cut. immediate: a transaction takes the lock when it begins.
	const pragmas = "_txlock=immediate&_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	// Open connects to nothing yet, and so cannot fail. A file has one writer at a time.
	db, _ := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: u.Path, RawQuery: pragmas}).String())
	db.SetMaxOpenConns(1)
	d := &Driver{db: db}
	d.alive, d.end = context.WithCancelCause(context.Background())
	if err := d.do(ctx, "open", "", nil, statement{schema}); err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	return d, nil
}

// turn is whose turn it is of the handles of one process: SQLite's own lock is not fair.
var turn = make(chan struct{}, 1)

type statement []any // SQL and its arguments from ?3 on: ?1 is the queue, and ?2 the time

// do runs statements in one transaction, and calls row for each row that the i-th of them returns. Nothing is done
// if the queue, unless it is empty, does not exist. Having nothing to do is no error, also after Close.
func (d *Driver) do(ctx context.Context, op, queue string, row func(i int, r *sql.Rows) error, all ...statement) error {
	if len(all) == 0 {
		return nil
	}
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done(): // BeginTx says so
	}
	tx, err := d.db.BeginTx(ctx, nil)
	if err == nil {
		defer tx.Rollback() // does nothing after Commit
		err = context.Cause(d.alive)
	}
	for i := 0; err == nil && i < len(all); i++ {
		args := append([]any{queue, time.Now().UnixNano()}, all[i][1:]...)
		rows, refused := tx.QueryContext(ctx, all[i][0].(string), args...)
		for err = refused; err == nil && rows.Next(); {
			err = row(i, rows)
		}
		if err == nil {
			err = rows.Err()
		}
	}
	if err == nil && queue != "" {
		err = tx.QueryRowContext(ctx, "SELECT 1 FROM queues WHERE name = ?", queue).Scan(new(int))
	}
	fate := driver.FateNotStored
	if err == nil {
		fate, err = driver.FateUnknown, tx.Commit() // here, and only here, an error leaves open what was done
	}
	if err == nil {
		return nil
	}
	native := new(sqlite.Error) // stays empty if err is none
	errors.As(err, &native)
	kind := cmp.Or(ctx.Err(), context.Cause(d.alive), kinds[native.Code()&0xff], driver.ErrBroker)
	if err == sql.ErrNoRows {
		kind, err = driver.ErrNotFound, errors.New("the queue does not exist")
	}
	return &driver.Error{Driver: "sqlite", Op: op, Queue: queue, Kind: kind, Fate: fate, Err: err}
}

var kinds = map[int]error{code.SQLITE_FULL: driver.ErrFull, code.SQLITE_READONLY: driver.ErrUnauthorized,
	code.SQLITE_BUSY: driver.ErrUnavailable, code.SQLITE_IOERR: driver.ErrUnavailable}

// Info describes the driver. SQLite is linked with it.
func (d *Driver) Info() driver.Info {
	return driver.Info{Driver: "sqlite", Broker: "SQLite", Version: code.SQLITE_VERSION, Limits: driver.Limits{
		MaxBody: 1 << 20, MaxHeaders: 64 << 10, EnqueueBatch: 100, EnqueueBytes: 8 << 20, Publishers: 1,
		ReceiveBatch: 100, Receivers: 8, SettleBatch: 100, ExtendBatch: 100,
		MinLease: time.Second, MaxLease: 24 * time.Hour, MaxRetryDelay: maxDelay}}
}

// Declare makes the queue exist.
func (d *Driver) Declare(ctx context.Context, queue string) error {
	return d.do(ctx, "declare", queue, nil, statement{"INSERT OR IGNORE INTO queues VALUES (?1)"})
}

// DeleteQueue removes running jobs too, whose leases are then lost. The queue need not exist.
func (d *Driver) DeleteQueue(ctx context.Context, queue string) error {
	return d.do(ctx, "delete queue "+queue, "", nil, statement{"DELETE FROM jobs WHERE queue = ?3", queue},
		statement{"DELETE FROM queues WHERE name = ?3", queue})
}

// Enqueue stores all messages or none, as jobs that wait and have no history.
func (d *Driver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	entries := make([]*driver.Entry, len(messages))
	for i, m := range messages {
		entries[i] = &driver.Entry{Message: *m, State: driver.StateWaiting}
	}
	return d.store(ctx, "enqueue", queue, entries)
}

// Import stores all entries or none, but for those that are out of bounds.
func (d *Driver) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	return d.store(ctx, "import", queue, entries)
}

// store is Enqueue and Import. No results say that all are stored.
func (d *Driver) store(ctx context.Context, op, queue string, entries []*driver.Entry) (results []driver.Result) {
	var all []statement
	for i, e := range entries {
		if e.State < driver.StateWaiting || e.State > driver.StateDead || e.Delay < 0 || e.Delay > maxDelay ||
			min(e.Failures, e.Bounces, e.Deliveries) < 0 || e.Delay > 0 && e.State != driver.StateScheduled {
			results = slices.Grow(results, len(entries))[:len(entries)]
			results[i].Err = outOfBounds(op, queue)
			continue
		}
		m, at, dead := e.Message, int64(e.Delay), e.State == driver.StateDead
		if m.Delay = 0; dead {
			at = e.DeadAt.UnixNano()
		}
		all = append(all, statement{`INSERT INTO jobs (queue, dead, due, id, message, failures, error, bounces, bounced, deliveries,
			reason) VALUES (?1, ?3, iif(?3, 0, ?2) + ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)`, dead, at, m.ID, encode(&m),
			e.Failures, e.LastError, e.Bounces, e.BouncedSince.UnixMilli(), e.Deliveries, e.Reason})
	}
	if err := d.do(ctx, op, queue, nil, all...); err != nil {
		return slices.Repeat([]driver.Result{{Err: err}}, len(entries))
	}
	return results
}

// encode is not by JSON, which would change headers that are not UTF-8.
func encode(m *driver.Message) []byte {
	var encoded bytes.Buffer
	gob.NewEncoder(&encoded).Encode(m) // to memory, which cannot fail
	return encoded.Bytes()
}

// maxDelay bounds delays, and outOfBounds is the error of what only a faulty core asks for.
const maxDelay = 366 * 24 * time.Hour

func outOfBounds(op, queue string) error {
	return &driver.Error{Driver: "sqlite", Op: op, Queue: queue, Kind: driver.ErrConfig, Fate: driver.FateNotStored}
}

// Depth counts up to a bound: its cost must not grow with the jobs. A job that is due waits, so Due is always zero.
func (d *Driver) Depth(ctx context.Context, queue string) (n driver.Depth, err error) {
	const bound, unknown = 100_000, driver.UnknownCount
	count := func(_ int, r *sql.Rows) error { return r.Scan(&n.Waiting, &n.Scheduled, &n.Running, &n.Dead, &n.Age) }
	err = d.do(ctx, "depth", queue, count, statement{`SELECT count(*) FILTER (WHERE NOT dead AND due <= ?2),
		count(*) FILTER (WHERE NOT dead AND due > ?2 AND lease IS NULL),
		count(*) FILTER (WHERE NOT dead AND due > ?2 AND lease IS NOT NULL),
		count(*) FILTER (WHERE dead), coalesce(max(?2 - (SELECT min(due) FROM jobs WHERE queue = ?1 AND dead = 0), 0), 0)
		FROM (SELECT dead, due, lease FROM jobs WHERE queue = ?1 LIMIT ?3)`, bound})
	if n.Waiting+n.Scheduled+n.Running+n.Dead == bound {
		n = driver.Depth{Waiting: unknown, Scheduled: unknown, Running: unknown, Dead: unknown, Age: n.Age}
	}
	return n, err
}

// DeadLetters lists a page. The cursor is a place, not a count, so that it holds when dead letters are removed.
func (d *Driver) DeadLetters(ctx context.Context, queue, cursor string, max int) (
	page []driver.DeadLetter, next string, err error) {
	var died, seq int64
	fmt.Sscanf(cursor, "%d.%d", &died, &seq) // the first page has none
	err = d.do(ctx, "dead letters", queue, func(_ int, r *sql.Rows) error {
		var l driver.DeadLetter
		var bounced int64
		err := r.Scan(&l.Body, &l.Failures, &l.LastError, &l.Bounces, &bounced, &l.Deliveries, &l.Reason, &died, &seq)
		l.Message, l.DeadAt, next = decode(l.Body), time.Unix(0, died).UTC(), fmt.Sprintf("%d.%d", died, seq)
		l.BouncedSince = time.UnixMilli(bounced).UTC()
		page = append(page, l)
		return err
	}, statement{`SELECT message, failures, error, bounces, bounced, deliveries, reason, due, seq FROM jobs
		WHERE queue = ?1 AND dead = 1 AND (due, seq) > (?3, ?4) ORDER BY due, seq LIMIT ?5`, died, seq, max})
	return page, next, err
}

// Redrive makes dead letters wait again, with counts from zero and all else as it was enqueued.
func (d *Driver) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.revise(ctx, "redrive", queue, which, `UPDATE jobs SET dead = 0, due = ?2, failures = 0, error = '',
		deliveries = 0, bounces = 0, bounced = -62135596800000`)
}

// Discard removes dead letters for good.
func (d *Driver) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.revise(ctx, "discard", queue, which, "DELETE FROM jobs")
}

func (d *Driver) revise(ctx context.Context, op, queue string, which driver.Selection, text string) (n int, err error) {
	if !which.All && len(which.IDs) == 0 {
		return 0, nil
	}
	ids, _ := json.Marshal(which.IDs) // strings can always be encoded
	text += " WHERE queue = ?1 AND dead = 1 AND (?3 OR id IN (SELECT value FROM json_each(?4))) RETURNING 1"
	err = d.do(ctx, op, queue, func(int, *sql.Rows) error { n++; return nil }, statement{text, which.All, string(ids)})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Close ends the consumers, too. It waits for calls under way by waiting for the connection that they hold.
func (d *Driver) Close(ctx context.Context) error {
	d.end(driver.ErrClosed)
	d.db.PingContext(ctx)
	return d.db.Close()
}

// consumer is a handle of its own, on one queue, which ends with the driver's.
type consumer struct {
	Driver
	receiver Driver // ends with the consumer's, or by Stop
	queue    string
	lease    time.Duration
}

// Consume opens a consumer.
func (d *Driver) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c := &consumer{Driver: *d, receiver: *d, queue: queue, lease: o.Lease}
	c.alive, c.end = context.WithCancelCause(d.alive)
	c.receiver.alive, c.receiver.end = context.WithCancelCause(c.alive)
	return c, d.do(ctx, "consume", queue, nil, statement{"SELECT 1 WHERE false"})
}

// Stop ends receiving, and waits for a Receive under way as Close does. Nothing has to be given back: what is leased
// is returned.
func (c *consumer) Stop(ctx context.Context) error {
	c.receiver.end(driver.ErrClosed)
	c.db.PingContext(ctx)
	return nil
}

func (c *consumer) Lease() time.Duration        { return c.lease }
func (c *consumer) Close(context.Context) error { c.end(driver.ErrClosed); return nil }

// Receive leases jobs, beginning now. SQLite does not notify of new ones, so Receive looks for them.
func (c *consumer) Receive(ctx context.Context, max int) (deliveries []*driver.Delivery, _ error) {
	if max < 1 || max > c.Info().Limits.ReceiveBatch {
		return nil, outOfBounds("receive", c.queue)
	}
	for wait := time.Duration(0); len(deliveries) == 0; wait = 100 * time.Millisecond {
		select {
		case <-time.After(wait):
		case <-ctx.Done(): // the next statement says so
		}
		if c.db.QueryRowContext(ctx, `SELECT 1 FROM jobs WHERE queue = ?1 AND dead = 0 AND due <= ?2
			UNION ALL SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM queues WHERE name = ?1) LIMIT 1`,
			c.queue, time.Now().UnixNano()).Scan(new(int)) == sql.ErrNoRows && c.receiver.alive.Err() == nil {
			continue // most looks find nothing, and need no lock on the file
		}
		if err := c.receiver.do(ctx, "receive", c.queue, func(_ int, r *sql.Rows) error {
			d, bounced := new(driver.Delivery), int64(0)
			deliveries = append(deliveries, d)
			err := r.Scan(&d.Body, &d.Failures, &d.LastError, &d.Bounces, &bounced,
				&d.Deliveries, &d.Redeliveries, &d.Receipt)
			d.BouncedSince = time.UnixMilli(bounced).UTC()
			return err
		}, statement{`UPDATE jobs SET due = ?2 + ?3, lease = hex(randomblob(16)), deliveries = deliveries + 1,
			redeliveries = redeliveries + (lease IS NOT NULL) -- a lease that ended: its holder vanished
			WHERE seq IN (SELECT seq FROM jobs WHERE queue = ?1 AND dead = 0 AND due <= ?2 ORDER BY due LIMIT ?4)
			RETURNING message, failures, error, bounces, bounced, deliveries, redeliveries, lease`, int64(c.lease), max}); err != nil {
			return nil, err // what it may have leased comes back when the lease ends
		}
		deliveries = slices.DeleteFunc(deliveries, func(d *driver.Delivery) bool {
			d.Message = decode(d.Body) // after the transaction, which others wait for
			unreadable := driver.Settlement{Delivery: d, Outcome: driver.OutcomeDead, Reason: driver.ReasonUnreadable}
			return d.Kind == "" && len(c.Settle(ctx, []driver.Settlement{unreadable})) == 1
		})
	}
	return deliveries, nil
}

// decode reads what Enqueue stored. If it cannot, the bytes are the body, and there is no Kind.
func decode(stored []byte) (m driver.Message) {
	if gob.NewDecoder(bytes.NewReader(stored)).Decode(&m) != nil {
		return driver.Message{Body: stored}
	}
	return m
}

// Settle ends deliveries. One that is out of bounds is an error at its place, and touches nothing.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	all, bad := make([]statement, len(settlements)), make(map[int]error)
	for i, s := range settlements {
		var stripped []byte // what is stored in the message's place; nil for the message as it is
		if m := s.Delivery.Message; s.Strip {
			m.Headers = nil
			stripped = encode(&m)
		}
		if s.Outcome < driver.OutcomeDone || s.Outcome > driver.OutcomeDead || s.Delay < 0 || s.Delay > maxDelay {
			all[i], bad[i] = statement{"SELECT 1 WHERE 0"}, outOfBounds("settle", c.queue)
			continue
		}
		switch lease := s.Delivery.Receipt; s.Outcome {
		case driver.OutcomeDone:
			all[i] = statement{"DELETE FROM jobs WHERE lease = ?3 RETURNING 1", lease}
		case driver.OutcomeRelease: // the history stays as it was
			all[i] = statement{"UPDATE jobs SET lease = NULL, due = ?2 WHERE lease = ?3 RETURNING 1", lease}
		default:
			all[i] = statement{`UPDATE jobs SET lease = NULL, due = ?2 + ?4, dead = ?5, failures = ?6, error = ?7, reason = ?8,
				bounces = ?9, bounced = ?10, redeliveries = 0, message = coalesce(?11, message) WHERE lease = ?3 RETURNING 1`,
				lease, int64(s.Delay), s.Outcome == driver.OutcomeDead, s.Failures, s.Error, s.Reason, s.Bounces,
				s.BouncedSince.UnixMilli(), stripped}
		}
	}
	errs := c.held(ctx, "settle", all)
	for i, err := range bad {
		errs[i] = err
	}
	return errs
}

// Extend renews leases, beginning now.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	all := make([]statement, len(deliveries))
	for i, d := range deliveries {
		all[i] = statement{"UPDATE jobs SET due = ?2 + ?4 WHERE lease = ?3 RETURNING 1", d.Receipt, int64(c.lease)}
	}
	return c.held(ctx, "extend", all)
}

// Abandon does nothing: what is not extended any more becomes available when its lease ends.
func (c *consumer) Abandon(context.Context, []*driver.Delivery) {}

// held changes jobs by their leases. A lease that is no longer the job's touches no row: it is lost, also if that is
// because its queue was deleted.
func (c *consumer) held(ctx context.Context, op string, all []statement) []error {
	e := &driver.Error{Driver: "sqlite", Op: op, Queue: c.queue, Kind: driver.ErrLeaseLost, Fate: driver.FateNotStored}
	errs := slices.Repeat([]error{e}, len(all))
	err := c.do(ctx, op, c.queue, func(i int, _ *sql.Rows) error { errs[i] = nil; return nil }, all...)
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		return slices.Repeat([]error{err}, len(all))
	}
	return errs
}
