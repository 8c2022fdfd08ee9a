package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/sqlname"
)

// Box is a table of jobs. Make it with [New]. Its methods may be called concurrently, and any number of
// boxes, of one process or many, may share the table.
type Box struct {
	db   *sql.DB
	name sqlname.Name
	text statements
}

// Option configures a [Box].
type Option struct{ apply func(*Box) error }

// Table is the name of the table, of up to 48 lower-case letters, digits and underscores. A database's name and
// a dot may be in front. Defaults to [DefaultTable].
func Table(name string) Option {
	return Option{func(b *Box) (err error) {
		if b.name, err = sqlname.Parse(name); err != nil {
			return invalid("Table", fmt.Sprintf("%q", name), "up to 48 lower-case letters, digits and underscores, with a database's name in front perhaps")
		}
		return nil
	}}
}

// invalid is the error of a value that is out of bounds.
func invalid(field, value, bound string) error {
	return fmt.Errorf("outbox: %w", &batch.InvalidError{Field: field, Value: value, Bound: bound})
}

// New makes a box in a database. It sends nothing: [Box.Migrate] makes the table. The database stays the
// caller's, who closes it after the last use of the box. An error wraps [batch.ErrInvalid] and is a mistake
// of the program.
func New(db *sql.DB, dialect Dialect, options ...Option) (*Box, error) {
	switch {
	case db == nil:
		return nil, invalid("database", "nil", "one that sql.Open made")
	case dialect != MySQL && dialect != SQLite:
		return nil, invalid("dialect", dialect.String(), "MySQL or SQLite")
	}
	b := &Box{db: db}
	for _, o := range append([]Option{Table(DefaultTable)}, options...) {
		if o.apply == nil {
			return nil, invalid("option", "the zero Option", "made by one of the option functions")
		}
		if err := o.apply(b); err != nil {
			return nil, err
		}
	}
	b.text = dialect.statementsOf(b.name)
	return b, nil
}

// Migrate makes the table if it is not there. Any number of processes may call it at once. A role that may
// not create tables gets the server's error: then another runs what [Schema] returns.
//
// It and all that the box and its relays do in no transaction of the caller's needs sessions of MySQL and MariaDB that commit by
// themselves: else the error wraps [batch.ErrConfig].
func (b *Box) Migrate(ctx context.Context) error {
	if err := b.lasts(ctx, "migration"); err != nil {
		return err
	}
	if _, err := b.id(ctx); err == nil {
		return nil
	}
	for _, text := range b.text.schema {
		if _, err := b.db.ExecContext(ctx, text); err != nil {
			if _, made := b.id(ctx); made == nil {
				return nil // by somebody else meanwhile
			}
			return fmt.Errorf("outbox: make the table %s: %w (a role that may runs what outbox.Schema returns)", b.name, err)
		}
	}
	_, err := b.id(ctx)
	return err
}

// Schema returns the SQL that makes the table of that name, "" for [DefaultTable], with a semicolon
// after each statement. It changes nothing if the table is there.
func Schema(dialect Dialect, name string) (string, error) {
	if name == "" {
		name = DefaultTable
	}
	if dialect != MySQL && dialect != SQLite {
		return "", invalid("dialect", dialect.String(), "MySQL or SQLite")
	}
	b := new(Box)
	if err := Table(name).apply(b); err != nil {
		return "", err
	}
	return strings.Join(dialect.statementsOf(b.name).schema, ";\n") + ";\n", nil
}

// errNoLease says that the table is there without row 1.
var errNoLease = errors.New("the row of the relay's lease is not there: call Migrate, or run what Schema returns")

// id is the identity of the table: no other has it, but a copy of this.
func (b *Box) id(ctx context.Context) (string, error) {
	var identity []byte
	err := b.db.QueryRowContext(ctx, b.text.identity).Scan(&identity)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoLease
	}
	if err != nil {
		return "", b.failed("read the identity", err)
	}
	return string(identity), nil
}

// lasts is nil if what the box writes lasts without a transaction. Where sessions do not commit by themselves it would be undone
// at some time or other, keep locks until then, and see nothing new. It asks about no table, which would begin a transaction.
func (b *Box) lasts(ctx context.Context, op string) error {
	if b.text.commits == "" {
		return nil
	}
	var commits bool
	if err := b.db.QueryRowContext(ctx, b.text.commits).Scan(&commits); err != nil {
		return b.failed(op, err)
	}
	if !commits {
		return b.failed(op, fmt.Errorf("%w: the database's sessions do not commit by themselves: give outbox.New a sql.DB without "+
			"autocommit=0 in its data source name, on a server without it; Enqueue takes transactions of any", batch.ErrConfig))
	}
	return nil
}

// failed is the error of a call of the database.
func (b *Box) failed(op string, err error) error {
	return fmt.Errorf("outbox: %s of the table %s: %w", op, b.name, err)
}

// mostRows is how many rows one statement is about: SQLite takes 999 parameters, if it is old.
const mostRows = 100

// each runs a statement for rows, and counts those that it changed.
func (b *Box) each(ctx context.Context, op, text string, rows []int64) (n int64, err error) {
	if err := b.lasts(ctx, op); err != nil {
		return 0, err
	}
	for len(rows) > 0 {
		some := rows[:min(len(rows), mostRows)]
		args := make([]any, len(some))
		for i, row := range some {
			args[i] = row
		}
		result, err := b.db.ExecContext(ctx, text+strings.Repeat(", ?", len(some)-1)+")", args...)
		if err != nil {
			return n, b.failed(op, err)
		}
		changed, err := result.RowsAffected()
		if err != nil {
			return n, b.failed(op, err)
		}
		n += changed
		rows = rows[len(some):]
	}
	return n, nil
}

// decimal writes a number.
func decimal(n int) string { return strconv.Itoa(n) }
