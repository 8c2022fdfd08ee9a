package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/internal/table"
	"github.com/batch-go/batch/internal/sqlname"
)

// postgres is the dialect of PostgreSQL, with the table of package pgxstore.
type postgres struct {
	name sqlname.Name
	sql  table.Postgres
	statements
}

// newPostgres makes the dialect for a table.
func newPostgres(name sqlname.Name) *postgres {
	t := table.PostgresOf(name)
	return &postgres{name: name, sql: t, statements: statements{
		schema: t.Schema, probe: t.Probe, extend: t.Extend, holding: t.Holding,
		complete: t.Complete, completed: t.Completed, abandon: t.Abandon,
	}}
}

// texts are the statements.
func (p *postgres) texts() *statements { return &p.statements }

// begin is one statement.
func (p *postgres) begin(ctx context.Context, db *sql.DB, key []byte, lasts int64) (answer, error) {
	var token int64
	var live, done bool
	if err := db.QueryRowContext(ctx, p.sql.Begin, key, lasts).Scan(&token, &live, &done); err != nil {
		return answer{}, err
	}
	if token > 0 {
		return answer{token, idempotency.Fresh}, nil
	}
	return seen(live, done), nil
}

// clean is one statement.
func (p *postgres) clean(ctx context.Context, db *sql.DB, most int) (int64, error) {
	result, err := db.ExecContext(ctx, p.sql.Clean, most)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// migrate makes the table in one transaction, while others that do wait.
func (p *postgres) migrate(ctx context.Context, db *sql.DB) error {
	return inTx(ctx, db, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, p.sql.Lock, p.name.String()); err != nil {
			return err
		}
		for _, text := range p.schema {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
}

// fault reads the error's SQLSTATE.
func (p *postgres) fault(err error) fault {
	var coded interface{ SQLState() string }
	if !errors.As(err, &coded) {
		return other
	}
	switch code := coded.SQLState(); {
	case table.Passes(code):
		return passing
	case code == table.NoTable:
		return missing
	case table.IsFull(code):
		return full
	}
	return other
}
