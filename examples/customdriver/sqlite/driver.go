// Package sqlite is a driver for package batch in 400 lines of code: jobs in an SQLite file, which
// any number of processes of one machine share. docs/drivers.md goes through it.
package sqlite

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

const (
	maxBatch = 100 // what one transaction takes
	maxDelay = 10 * 366 * 24 * time.Hour
)

var limits = driver.Limits{
	MaxBody: 1 << 20, MaxHeaders: 64 << 10, EnqueueBatch: maxBatch, EnqueueBytes: 8 << 20, Publishers: 1,
	ReceiveBatch: maxBatch, Receivers: 1, SettleBatch: maxBatch, ExtendBatch: maxBatch,
	MinLease: time.Second, MaxLease: 24 * time.Hour, MaxRetryDelay: maxDelay,
}

func init() {
	driver.Register(driver.Registration{
		Name: "sqlite", Schemes: []string{"sqlite"}, Open: open, Types: []driver.Driver{(*Driver)(nil)},
	})
}

// Driver is a handle on one file.
type Driver struct {
	store
	info driver.Info
}

// A driver's methods are its capabilities. It has those whose promise it keeps, and no others.
var _ interface {
	driver.Prioritizer    // ORDER BY level is strict
	driver.Delayer        // every job has a due time of its own
	driver.AtomicEnqueuer // an enqueue is a transaction
} = (*Driver)(nil)

// open is a driver.Opener: it refuses unknown parameters, and returns when the file was found fit.
func open(ctx context.Context, u *url.URL) (driver.Driver, error) {
	if err := driver.NewParams("sqlite", u).Err(); err != nil {
		return nil, err
	}
	d := &Driver{info: driver.Info{Driver: "sqlite", Broker: "SQLite", Limits: limits}}
	if u.Host != "" || u.User != nil || u.Path == "" {
		return nil, d.fail("open", "", driver.ErrConfig, errors.New("the URL is sqlite:///path/to/file"))
	}
	var err error
	if d.info.Version, err = d.connect(ctx, u.Path); err != nil {
		return nil, d.fail("open", "", kindOf(ctx, err), err)
	}
	return d, nil
}

// Info describes the driver, PriorityLevels, MaxDelay and AtomicLimit its capabilities.
func (d *Driver) Info() driver.Info       { return d.info }
func (d *Driver) PriorityLevels() int     { return 5 }
func (d *Driver) MaxDelay() time.Duration { return maxDelay }
func (d *Driver) AtomicLimit() int        { return maxBatch }

// Declare has nothing to make: a queue is the jobs that name it.
func (d *Driver) Declare(ctx context.Context, queue string) error {
	return d.change(ctx, "declare", queue, 1, func(*tx) {})
}

// DeleteQueue removes running jobs too, whose receipts then match nothing.
func (d *Driver) DeleteQueue(ctx context.Context, queue string) error {
	return d.change(ctx, "delete queue", queue, 1, func(t *tx) { t.exec("DELETE FROM jobs WHERE queue = ?", queue) })
}

// Enqueue has one result for each message, and here one fate for all. Without results, all are stored.
func (d *Driver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if err := d.EnqueueAtomic(ctx, queue, messages); err != nil {
		return slices.Repeat([]driver.Result{{Err: err}}, len(messages))
	}
	return nil
}

// EnqueueAtomic stores all messages or none.
func (d *Driver) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	if slices.ContainsFunc(messages, func(m *driver.Message) bool { return len(m.Body) > limits.MaxBody }) {
		return d.fail("enqueue", queue, driver.ErrTooLarge, nil)
	}
	defer d.ring(queue)
	return d.change(ctx, "enqueue", queue, len(messages), func(t *tx) {
		for _, m := range messages {
			// Not JSON, which would change headers that are not UTF-8.
			var encoded bytes.Buffer
			t.failed(gob.NewEncoder(&encoded).Encode(m))
			due := t.after(m.Delay)
			t.exec("INSERT INTO jobs (queue, state, due, level, id, message) VALUES (?, iif(?, 'scheduled', 'waiting'), ?, ?, ?, ?)",
				queue, due, due, m.Level, m.ID, encoded.Bytes())
		}
	})
}

// Depth reads what triggers have counted: its cost must not grow with the jobs.
func (d *Driver) Depth(ctx context.Context, queue string) (n driver.Depth, err error) {
	err = d.change(ctx, "depth", queue, 1, func(t *tx) {
		t.failed(t.QueryRowContext(ctx, `SELECT coalesce(max(waiting), 0), coalesce(max(scheduled), 0), coalesce(max(running), 0),
			coalesce(max(dead), 0) FROM depths WHERE queue = ?`, queue).Scan(&n.Waiting, &n.Scheduled, &n.Running, &n.Dead))
	})
	return n, err
}

// DeadLetters lists a page. The cursor is a place and not a count, so that it holds when letters are removed.
func (d *Driver) DeadLetters(ctx context.Context, queue, cursor string, max int) (page []driver.DeadLetter, next string, err error) {
	var due, seq int64
	if _, err := fmt.Sscanf(cursor, "%d.%d", &due, &seq); cursor != "" && err != nil {
		return nil, "", d.fail("dead letters", queue, driver.ErrConfig, err)
	}
	if max < 1 || max > 1000 {
		return nil, "", d.fail("dead letters", queue, driver.ErrConfig, fmt.Errorf("a page of %d", max))
	}
	err = d.change(ctx, "dead letters", queue, 1, func(t *tx) {
		for _, j := range t.jobs("state = 'dead' AND (due, seq) > (?, ?) ORDER BY due, seq", queue, due, seq, max) {
			page = append(page, driver.DeadLetter{Message: j.Message, Failures: j.Failures, LastError: j.LastError,
				Deliveries: j.Deliveries, Reason: j.reason, DeadAt: time.Unix(0, j.due).UTC()})
			next = fmt.Sprintf("%d.%d", j.due, j.seq)
		}
	})
	if len(page) < max {
		next = "" // there are no more
	}
	return page, next, err
}

// Redrive has dead letters wait again, counted from zero and else as they were enqueued.
func (d *Driver) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	defer d.ring(queue)
	return d.selected(ctx, "redrive", queue, which, `UPDATE jobs SET state = 'waiting', due = 0,
		failures = 0, error = '', reason = '', deliveries = 0, redeliveries = 0`)
}

// Discard removes dead letters for good.
func (d *Driver) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.selected(ctx, "discard", queue, which, "DELETE FROM jobs")
}

// selected does something to the selected dead letters. The zero Selection selects none.
func (d *Driver) selected(ctx context.Context, op, queue string, which driver.Selection, statement string) (n int, err error) {
	ids, _ := json.Marshal(which.IDs) // strings can always be encoded
	any := len(which.IDs)
	if which.All {
		any = 1
	}
	err = d.change(ctx, op, queue, min(any, 1), func(t *tx) {
		n = t.exec(statement+` WHERE queue = ? AND state = 'dead' AND (? OR id IN (SELECT value FROM json_each(?)))`,
			queue, which.All, string(ids))
	})
	return n, err
}

// Close ends the consumers, too. It waits for calls under way by waiting for the connection that they hold.
func (d *Driver) Close(ctx context.Context) error {
	d.end(driver.ErrClosed)
	if conn, err := d.db.Conn(ctx); err == nil {
		conn.Close()
	}
	return d.db.Close()
}
