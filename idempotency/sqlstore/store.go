package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/internal/table"
	"github.com/batch-go/batch/internal/sqlname"
)

// Store is an [idempotency.Store] in a table of a database. Make it with [New]. Its
// methods may be called concurrently, and any number of stores, of one process or many,
// may share the table.
type Store struct {
	db      *sql.DB
	dialect dialect
	name    sqlname.Name
	onFault func(error)
	cleans  func() bool // tells whether it is the turn of a Begin
	commits atomic.Bool // the sessions of the database commit by themselves, as far as was seen
}

// Option configures a [Store].
type Option struct {
	apply func(*Store) error
}

// Table is the name of the store's table, of up to 48 lower-case letters, digits and
// underscores. A schema's name and a dot may be in front, or a database's on MySQL and
// SQLite. Defaults to batch_idempotency.
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

// New makes a store of a database. It sends nothing: [Store.Migrate] makes the table.
// The database stays the caller's, who closes it after the last use of the store. An
// error is a mistake of the program.
func New(db *sql.DB, dialect Dialect, options ...Option) (*Store, error) {
	if db == nil {
		return nil, errors.New("idempotency/sqlstore: the database is nil")
	}
	name, err := sqlname.Parse(table.DefaultName)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, name: name, cleans: table.CleansNow, onFault: func(err error) {
		slog.Warn("idempotency: a table could not be cleaned", "error", err)
	}}
	for _, o := range options {
		if o.apply == nil {
			return nil, errors.New("idempotency/sqlstore: the zero Option: must be made by one of the option functions")
		}
		if err := o.apply(s); err != nil {
			return nil, fmt.Errorf("idempotency/sqlstore: %w", err)
		}
	}
	if s.dialect, err = dialect.of(s.name); err != nil {
		return nil, err
	}
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
	var a answer
	err = s.again(ctx, "begin", func() (err error) {
		a, err = s.begin(ctx, stored, lasts)
		return err
	})
	if err != nil {
		return idempotency.Claim{}, 0, err
	}
	if a.state != idempotency.Fresh {
		return idempotency.Claim{}, a.state, nil
	}
	return idempotency.Claim{Key: key, Token: uint64(a.token)}, idempotency.Fresh, nil
}

// begin asks until it has the key or sees who has, and not for ever: a row that is
// locked by a transaction that outlives its claim is in progress.
func (s *Store) begin(ctx context.Context, key []byte, lasts int64) (answer, error) {
	for range table.Looks {
		if a, err := s.dialect.begin(ctx, s.db, key, lasts); err != nil || a.state != 0 {
			return a, err
		}
	}
	return answer{state: idempotency.InProgress}, nil
}

// Extend renews a claim.
func (s *Store) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	key, lasts, err := arguments(claim.Key, ttl)
	if err != nil {
		return s.failed("extend", err)
	}
	return s.again(ctx, "extend", func() error {
		n, err := s.update(ctx, s.db, s.dialect.texts().extend, key, claim.Token, lasts)
		if err == nil && n == 0 {
			// Some servers count what has changed, and two renewals of one moment change nothing.
			return s.sees(ctx, s.db, s.dialect.texts().holding, key, claim.Token)
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
		_, err := s.db.ExecContext(ctx, s.dialect.texts().abandon, key, int64(claim.Token))
		return err
	})
}

// complete is one try of Complete, in a transaction perhaps.
func (s *Store) complete(ctx context.Context, db caller, key []byte, token uint64, lasts int64) error {
	n, err := s.update(ctx, db, s.dialect.texts().complete, key, token, lasts)
	if err == nil && n == 0 {
		return s.sees(ctx, db, s.dialect.texts().completed, key, token)
	}
	return err
}

// update changes the row of a claim and returns how many were.
func (s *Store) update(ctx context.Context, db caller, text string, key []byte, token uint64, lasts int64) (int64, error) {
	args := []any{key, int64(token), lasts}
	if s.dialect.texts().lastsFirst {
		args = []any{lasts, key, int64(token)}
	}
	result, err := db.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// sees is nil if a query about a claim has a row, and ErrLost if it has none.
func (s *Store) sees(ctx context.Context, db caller, text string, key []byte, token uint64) error {
	err := db.QueryRowContext(ctx, text, key, int64(token)).Scan(new(int))
	if errors.Is(err, sql.ErrNoRows) {
		return idempotency.ErrLost
	}
	return err
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

// clean deletes some of the rows that have expired for long.
func (s *Store) clean(ctx context.Context, most int) (n int64, err error) {
	err = s.again(ctx, "clean", func() error {
		n, err = s.dialect.clean(ctx, s.db, most)
		return err
	})
	return n, err
}

// again calls do, once more if the database has undone it because of others, and says
// what an error means.
func (s *Store) again(ctx context.Context, op string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := table.Again(ctx, func(err error) bool { return s.dialect.fault(err) == passing }, func() error {
		if err := s.lasts(ctx); err != nil {
			return err
		}
		return do()
	})
	switch {
	case err == nil || errors.Is(err, idempotency.ErrLost):
		return err
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		// Some drivers say nothing but that the connection is gone.
		return fmt.Errorf("idempotency/sqlstore: %s: %w: %w", op, ctx.Err(), err)
	}
	return s.failed(op, err)
}

// ErrAutocommit is the error of what a store does in no transaction of the caller's, where the sessions of MySQL or MariaDB do not
// commit by themselves: the claim would not last, and those of others would wait for it. Nothing was changed.
var ErrAutocommit = errors.New("the database's sessions do not commit by themselves: give sqlstore.New a sql.DB without autocommit=0 in its data source name, on a server without it")

// lasts is nil if what the store writes lasts without a transaction. It asks once, and about no table, which would begin one.
func (s *Store) lasts(ctx context.Context) error {
	ask := s.dialect.texts().commits
	if ask == "" || s.commits.Load() {
		return nil
	}
	var commits bool
	if err := s.db.QueryRowContext(ctx, ask).Scan(&commits); err != nil {
		return err
	}
	if !commits {
		return ErrAutocommit
	}
	s.commits.Store(true)
	return nil
}

// failed says what an error means and what to do.
func (s *Store) failed(op string, err error) error {
	switch s.dialect.fault(err) {
	case missing:
		return fmt.Errorf("idempotency/sqlstore: %s: the table %s is not there: call Migrate, or run what Schema returns: %w", op, s.name, err)
	case full:
		return fmt.Errorf("idempotency/sqlstore: %s: %w: %w", op, idempotency.ErrFull, err)
	}
	return fmt.Errorf("idempotency/sqlstore: %s: %w", op, err)
}
