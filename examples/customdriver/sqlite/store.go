package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	_ "embed"
	"encoding/gob"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
	"modernc.org/sqlite"
	code "modernc.org/sqlite/lib"
)

//go:embed schema.sql
var schema string

// store is what a driver and its consumers share.
type store struct {
	db    *sql.DB
	alive context.Context // ends with Close, for the reason ErrClosed
	end   context.CancelCauseFunc
	bells *sync.Map // by queue: channels that wake a Receive
	turn  chan struct{}
}

// turns has the handles of this process, by file, take turns, because SQLite's own lock is not fair.
var turns sync.Map

// connect opens the file. FULL: what is committed is on the disk, as a confirmed Enqueue promises. immediate: who
// writes waits for the lock first, so that no transaction fails halfway. The lock is waited for as long as ctx lasts.
func (s *store) connect(ctx context.Context, path string) (version string, err error) {
	const pragmas = "_txlock=immediate&_pragma=busy_timeout(3600000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	if s.db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: pragmas}).String()); err != nil {
		return "", err
	}
	s.alive, s.end = context.WithCancelCause(context.Background())
	turn, _ := turns.LoadOrStore(path, make(chan struct{}, 1))
	s.bells, s.turn = new(sync.Map), turn.(chan struct{})
	s.db.SetMaxOpenConns(1) // a file has one writer at a time
	if _, err = s.db.ExecContext(ctx, schema); err == nil {
		err = s.db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version)
	}
	if err != nil {
		s.db.Close()
	}
	return version, err
}

func (s *store) bell(queue string) chan struct{} {
	bell, _ := s.bells.LoadOrStore(queue, make(chan struct{}, 1))
	return bell.(chan struct{})
}

// ring has a Receive of this process look at the queue now. It is a hint: who misses it looks a little later.
func (s *store) ring(queue string) {
	select {
	case s.bell(queue) <- struct{}{}:
	default: // it has been rung, and nobody came yet
	}
}

// tx is a transaction. After an error it does nothing more, and is not committed.
type tx struct {
	*sql.Tx
	ctx context.Context
	now int64 // by the clock of the machine, taken when the lock was
	err error
}

func (t *tx) failed(err error) bool {
	t.err = cmp.Or(t.err, err)
	return t.err != nil
}

// exec returns how many rows it changed.
func (t *tx) exec(statement string, args ...any) int {
	if t.err != nil {
		return 0
	}
	result, err := t.ExecContext(t.ctx, statement, args...)
	if t.failed(err) {
		return 0
	}
	n, _ := result.RowsAffected() // SQLite always knows
	return int(n)
}

// after is the due time of a job that waits for so long; none if it is ready.
func (t *tx) after(delay time.Duration) int64 {
	if delay > 0 {
		return t.now + int64(delay)
	}
	return 0
}

// job is a row of the table.
type job struct {
	driver.Delivery
	seq, due int64
	reason   string
	readable bool
}

// jobs reads rows of a queue. Of a message that cannot be decoded, the bytes are the body.
func (t *tx) jobs(where string, args ...any) (jobs []*job) {
	rows, err := t.QueryContext(t.ctx, `SELECT seq, due, id, message, failures, error, reason, deliveries, redeliveries
		FROM jobs WHERE queue = ? AND `+where+" LIMIT ?", args...)
	if t.failed(err) {
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var j job
		var id string
		var message []byte
		t.failed(rows.Scan(&j.seq, &j.due, &id, &message, &j.Failures, &j.LastError, &j.reason, &j.Deliveries, &j.Redeliveries))
		j.readable = gob.NewDecoder(bytes.NewReader(message)).Decode(&j.Message) == nil
		if j.Delay = 0; !j.readable {
			j.Message = driver.Message{ID: id, Body: message}
		}
		jobs = append(jobs, &j)
	}
	t.failed(rows.Err())
	return jobs
}

// advance has jobs wait whose time has come. A lease that ended is counted: its holder vanished.
const advance = `UPDATE jobs SET state = 'waiting', due = 0, token = 0, redeliveries = redeliveries + (state = 'running')
	WHERE queue = ? AND state <> 'dead' AND due > 0 AND due <= ?`

// change does something to n things in a transaction. Nothing to do is no error, also after Close.
func (s *store) change(ctx context.Context, op, queue string, n int, do func(t *tx)) error {
	if n == 0 {
		return nil
	}
	if n < 0 || n > maxBatch {
		return s.fail(op, queue, driver.ErrTooLarge, nil)
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
	case <-s.alive.Done():
	}
	if ended := cmp.Or(ctx.Err(), context.Cause(s.alive)); ended != nil {
		return s.fail(op, queue, ended, nil)
	}
	begun, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.fail(op, queue, cmp.Or(context.Cause(s.alive), kindOf(ctx, err)), err)
	}
	defer begun.Rollback() // does nothing after Commit
	t := &tx{Tx: begun, ctx: ctx, now: time.Now().UnixNano()}
	t.exec(advance, queue, t.now)
	if do(t); t.err != nil {
		return s.fail(op, queue, kindOf(ctx, t.err), t.err)
	}
	if err := t.Commit(); err != nil {
		e := s.fail(op, queue, kindOf(ctx, err), err)
		e.Fate = driver.FateUnknown // here, and only here, the change may have been made
		return e
	}
	return nil
}

// fail is the error of a call that certainly changed nothing.
func (s *store) fail(op, queue string, kind, err error) *driver.Error {
	return &driver.Error{Driver: "sqlite", Op: op, Queue: queue, Kind: kind, Fate: driver.FateNotStored, Err: err}
}

// kindOf is what the contract calls an error of database/sql.
func kindOf(ctx context.Context, err error) error {
	var native *sqlite.Error
	if errors.As(err, &native) && ctx.Err() == nil {
		return cmp.Or(kinds[native.Code()&0xff], driver.ErrBroker) // the higher bits are details
	}
	return cmp.Or(ctx.Err(), driver.ErrBroker)
}

var kinds = map[int]error{
	code.SQLITE_BUSY: driver.ErrUnavailable, code.SQLITE_IOERR: driver.ErrUnavailable, code.SQLITE_CANTOPEN: driver.ErrUnavailable,
	code.SQLITE_FULL: driver.ErrFull, code.SQLITE_READONLY: driver.ErrUnauthorized, code.SQLITE_NOTADB: driver.ErrConfig,
}
