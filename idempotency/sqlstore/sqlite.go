package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/internal/sqlname"
)

// sqlite is the dialect of SQLite, which lets one connection write at a time. Tokens
// are row IDs with AUTOINCREMENT, none of which is given twice. Time is in milliseconds.
type sqlite struct {
	look, claim, cleaning string
	statements
}

// newSQLite makes the dialect for a table.
func newSQLite(name sqlname.Name) *sqlite {
	text := strings.NewReplacer(
		"{table}", name.Quoted(`"`, ""), "{index}", name.Quoted(`"`, "_expires"), "{bare}", name.Bare(`"`, ""),
		"{now}", "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
		// The clock's milliseconds are cut off, and what is to last must not end early.
		"{millis}", "(? + 1999) / 1000", "{millis3}", "(?3 + 1999) / 1000",
		"{held}", "key = ?1 AND token = ?2 AND NOT done",
	).Replace
	return &sqlite{
		look: text(`SELECT expires > {now}, done FROM {table} WHERE key = ?`),
		// The row of a claim that has ended is replaced by a new one, with a new token.
		claim: text(`INSERT OR REPLACE INTO {table} (key, done, expires)
SELECT ?1, 0, {now} + (?2 + 1999) / 1000 WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE key = ?1 AND expires > {now})`),
		cleaning: text(`DELETE FROM {table} WHERE token IN (SELECT token FROM {table} WHERE expires < {now} ORDER BY expires LIMIT ?)`),
		statements: statements{
			schema: []string{
				text(`CREATE TABLE IF NOT EXISTS {table} (
	token   INTEGER PRIMARY KEY AUTOINCREMENT,
	key     BLOB    NOT NULL UNIQUE,
	done    INTEGER NOT NULL,
	expires INTEGER NOT NULL
)`),
				text(`CREATE INDEX IF NOT EXISTS {index} ON {bare} (expires)`),
			},
			probe:     text(`SELECT key, token, done, expires FROM {table} WHERE false`),
			extend:    text(`UPDATE {table} SET expires = {now} + {millis3} WHERE {held} AND expires > {now}`),
			holding:   text(`SELECT 1 FROM {table} WHERE {held} AND expires > {now}`),
			complete:  text(`UPDATE {table} SET done = 1, expires = {now} + {millis3} WHERE {held} AND expires > {now}`),
			completed: text(`SELECT 1 FROM {table} WHERE key = ?1 AND token = ?2 AND done AND expires > {now}`),
			abandon:   text(`DELETE FROM {table} WHERE {held} AND expires > {now}`),
			unravels:  true,
		},
	}
}

// texts are the statements.
func (l *sqlite) texts() *statements { return &l.statements }

// begin looks first, as a look waits for no writer, and then claims the key in a
// statement that takes the lock of writers before it looks.
func (l *sqlite) begin(ctx context.Context, db *sql.DB, key []byte, lasts int64) (answer, error) {
	var live, done bool
	err := db.QueryRowContext(ctx, l.look, key).Scan(&live, &done)
	if err != nil && !errors.Is(err, sql.ErrNoRows) || live {
		return seen(live, done), err
	}
	result, err := db.ExecContext(ctx, l.claim, key, lasts)
	if err != nil {
		return answer{}, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return answer{}, err
	}
	token, err := result.LastInsertId()
	return answer{token, idempotency.Fresh}, err
}

// clean is one statement.
func (l *sqlite) clean(ctx context.Context, db *sql.DB, most int) (int64, error) {
	result, err := db.ExecContext(ctx, l.cleaning, most)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// migrate makes what is not there, statement by statement.
func (l *sqlite) migrate(ctx context.Context, db *sql.DB) error {
	for _, text := range l.schema {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// fault reads the text of the error, which is SQLite's own with all drivers.
func (l *sqlite) fault(err error) fault {
	text := err.Error()
	switch {
	case strings.Contains(text, "is locked"):
		return passing
	case strings.Contains(text, "no such table"):
		return missing
	case strings.Contains(text, "disk is full"):
		return full
	}
	return other
}
