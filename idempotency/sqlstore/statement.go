package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/batch-go/batch/idempotency"
)

// dialect is how a kind of database is asked.
type dialect interface {
	texts() *statements
	// begin claims a key for a time in microseconds, in one try. The state is 0 if it
	// neither has the key nor saw who has.
	begin(ctx context.Context, db *sql.DB, key []byte, lasts int64) (answer, error)
	// clean deletes some of the rows that have expired for long.
	clean(ctx context.Context, db *sql.DB, most int) (int64, error)
	// migrate makes the table.
	migrate(ctx context.Context, db *sql.DB) error
	// fault says what an error of the driver means.
	fault(err error) fault
}

// caller is a database, or a transaction in it.
type caller interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// answer is that of a Begin.
type answer struct {
	token int64
	state idempotency.State
}

// seen is the answer about a row that was found.
func seen(live, done bool) answer {
	switch {
	case !live:
		return answer{}
	case done:
		return answer{state: idempotency.Done}
	}
	return answer{state: idempotency.InProgress}
}

// statements are the texts that do not differ in more than that. Those about claims
// have the key and the token for parameters, and extend and complete a duration after
// them, or before if lastsFirst is set.
type statements struct {
	schema     []string
	probe      string
	extend     string
	holding    string // has a row if a claim holds its key
	complete   string
	completed  string // has a row if a claim is complete; sees what others have committed
	abandon    string
	commits    string // whether what is no transaction's lasts, empty if it always does
	lastsFirst bool
	unravels   bool // an error may undo a transaction, which then takes statements one by one
}

// fault is what an error of a driver means.
type fault uint8

const (
	other   fault = iota
	passing       // the call is undone, because others were in its way
	missing       // the table does not exist
	full          // there is no room
)

// inTx calls f in a transaction, and commits it if f returns nil.
func inTx(ctx context.Context, db *sql.DB, options *sql.TxOptions, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, options)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
