package pgxstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/internal/table"
	"github.com/batch-go/batch/internal/sqlname"
)

// DB is where a store's table is: a *pgxpool.Pool, or a *pgx.Conn that the store has for
// itself, as a connection does one thing at a time.
type DB interface {
	// Begin begins a transaction.
	Begin(ctx context.Context) (pgx.Tx, error)
	// Exec runs a statement.
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	// QueryRow runs a query for one row.
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Store is an [idempotency.Store] in a table of PostgreSQL. Make it with [New]. Its
// methods may be called concurrently, and any number of stores, of one process or many,
// may share the table.
type Store struct {
	db      DB
	turn    chan struct{} // has room for the one that uses a single connection; nil with a pool
	name    sqlname.Name
	sql     table.Postgres
	onFault func(error)
	cleans  func() bool // tells whether it is the turn of a Begin
}

// Option configures a [Store].
type Option struct {
	apply func(*Store) error
}

// Table is the name of the store's table, of up to 48 lower-case letters, digits and
// underscores, with the name of a schema and a dot in front perhaps. Defaults to
// batch_idempotency.
func Table(name string) Option {
	return Option{func(s *Store) (err error) {
		s.name, err = sqlname.Parse(name)
		return err
	}}
}

// OnFault is called with the errors that no caller gets: those of the cleaning that a
// Begin does in passing. It must be safe for concurrent use.
// Defaults to a warning by package log/slog.
func OnFault(f func(error)) Option {
	return Option{func(s *Store) error {
		if f == nil {
			return errors.New("OnFault needs a function")
		}
		s.onFault = f
		return nil
	}}
}

// New makes a store of a database. It sends nothing: [Store.Migrate] makes the table. The
// pool or connection stays the caller's, who closes it after the last use of the store.
// With a connection, a call waits until the one before has ended, a function of InTx
// included: claims are not renewed meanwhile. And pgx closes a connection on which a context
// ends during a call, after which the store is of no use. An error is a mistake of the program.
func New(db DB, options ...Option) (*Store, error) {
	if db == nil {
		return nil, errors.New("idempotency/pgxstore: the database is nil")
	}
	name, err := sqlname.Parse(table.DefaultName)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, name: name, cleans: table.CleansNow, onFault: func(err error) {
		slog.Warn("idempotency: a table could not be cleaned", "error", err)
	}}
	if _, single := db.(*pgx.Conn); single {
		s.turn = make(chan struct{}, 1)
	}
	for _, o := range options {
		if o.apply == nil {
			return nil, errors.New("idempotency/pgxstore: the zero Option: must be made by one of the option functions")
		}
		if err := o.apply(s); err != nil {
			return nil, fmt.Errorf("idempotency/pgxstore: %w", err)
		}
	}
	s.sql = table.PostgresOf(s.name)
	return s, nil
}

// Begin claims a key.
func (s *Store) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	stored, lasts, err := arguments(key, ttl)
	if err != nil {
		return idempotency.Claim{}, 0, s.failed("begin", err)
	}
	if s.cleans() { // before the claim, whose time runs
		if _, err := s.clean(ctx, table.CleanSome); err != nil && ctx.Err() == nil {
			s.onFault(err)
		}
	}
	var token int64
	var state idempotency.State
	err = s.again(ctx, "begin", func() (err error) {
		token, state, err = s.begin(ctx, stored, lasts)
		return err
	})
	if err != nil {
		return idempotency.Claim{}, 0, err
	}
	if state != idempotency.Fresh {
		return idempotency.Claim{}, state, nil
	}
	return idempotency.Claim{Key: key, Token: uint64(token)}, idempotency.Fresh, nil
}

// begin asks until it has the key or sees who has, and not for ever: a row that is
// locked by a transaction that outlives its claim is in progress.
func (s *Store) begin(ctx context.Context, key []byte, lasts int64) (token int64, state idempotency.State, err error) {
	for range table.Looks {
		var live, done bool
		err := s.db.QueryRow(ctx, s.sql.Begin, key, lasts).Scan(&token, &live, &done)
		switch {
		case err != nil:
			return 0, 0, err
		case token > 0:
			return token, idempotency.Fresh, nil
		case live && done:
			return 0, idempotency.Done, nil
		case live:
			return 0, idempotency.InProgress, nil
		}
	}
	return 0, idempotency.InProgress, nil
}

// Extend renews a claim.
func (s *Store) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	key, lasts, err := arguments(claim.Key, ttl)
	if err != nil {
		return s.failed("extend", err)
	}
	return s.again(ctx, "extend", func() error {
		tag, err := s.db.Exec(ctx, s.sql.Extend, key, int64(claim.Token), lasts)
		if err == nil && tag.RowsAffected() == 0 {
			return idempotency.ErrLost
		}
		return err
	})
}

// Complete makes a claimed key done.
func (s *Store) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	key, lasts, err := arguments(claim.Key, retention)
	if err != nil {
		return s.failed("complete", err)
	}
	return s.again(ctx, "complete", func() error { return s.complete(ctx, s.db, key, claim.Token, lasts) })
}

// Abandon gives up a claim.
func (s *Store) Abandon(ctx context.Context, claim idempotency.Claim) error {
	key, err := table.Key(claim.Key)
	if err != nil {
		return s.failed("abandon", err)
	}
	return s.again(ctx, "abandon", func() error {
		_, err := s.db.Exec(ctx, s.sql.Abandon, key, int64(claim.Token))
		return err
	})
}

// complete is one try of Complete, in a transaction perhaps.
func (s *Store) complete(ctx context.Context, db DB, key []byte, token uint64, lasts int64) error {
	tag, err := db.Exec(ctx, s.sql.Complete, key, int64(token), lasts)
	if err != nil || tag.RowsAffected() > 0 {
		return err
	}
	err = db.QueryRow(ctx, s.sql.Completed, key, int64(token)).Scan(new(int))
	if errors.Is(err, pgx.ErrNoRows) {
		return idempotency.ErrLost
	}
	return err
}

// clean deletes some of the rows that have expired for long.
func (s *Store) clean(ctx context.Context, most int) (n int64, err error) {
	err = s.again(ctx, "clean", func() error {
		tag, err := s.db.Exec(ctx, s.sql.Clean, int64(most))
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// again calls do, in its turn on a single connection, once more if the database has undone
// it because of others, and says what an error means.
func (s *Store) again(ctx context.Context, op string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.leave()
	err := table.Again(ctx, func(err error) bool { return table.Passes(codeOf(err)) }, do)
	switch {
	case err == nil || errors.Is(err, idempotency.ErrLost):
		return err
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("idempotency/pgxstore: %s: %w: %w", op, ctx.Err(), err)
	}
	return s.failed(op, err)
}

// take waits for the connection, if there is but one.
func (s *Store) take(ctx context.Context) error {
	if s.turn == nil {
		return nil
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave lets the next have the connection.
func (s *Store) leave() {
	if s.turn != nil {
		<-s.turn
	}
}

// codeOf is the SQLSTATE of an error of the server, or "".
func codeOf(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// failed says what an error means and what to do.
func (s *Store) failed(op string, err error) error {
	switch code := codeOf(err); {
	case code == table.NoTable:
		return fmt.Errorf("idempotency/pgxstore: %s: the table %s is not there: call Migrate, or run what Schema returns: %w", op, s.name, err)
	case table.IsFull(code):
		return fmt.Errorf("idempotency/pgxstore: %s: %w: %w", op, idempotency.ErrFull, err)
	}
	return fmt.Errorf("idempotency/pgxstore: %s: %w", op, err)
}

// arguments are a key and a duration as statements take them.
func arguments(key string, d time.Duration) ([]byte, int64, error) {
	stored, err := table.Key(key)
	if err != nil {
		return nil, 0, err
	}
	lasts, err := table.Micros(d)
	return stored, lasts, err
}
