package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/internal/table"
	"github.com/batch-go/batch/internal/sqlname"
)

// mysql is the dialect of MySQL and MariaDB. Tokens are AUTO_INCREMENT: a row has the
// next when it is inserted. A claim on a row that is there takes that of a row which it
// inserts and deletes.
//
// A lock on what is not there is a lock on a gap, and two of those are a deadlock in the
// making. So rows are inserted and changed by statements that are transactions, by their
// primary key, and what takes several locks does so with READ COMMITTED, which has no
// locks on gaps, and passes over rows that are locked. Indexes are forced where the server
// might read, and lock, all of a small table.
type mysql struct {
	look, insert, lock, remove, take, expired, cleaning string
	statements
}

// newMySQL makes the dialect for a table.
func newMySQL(name sqlname.Name) *mysql {
	text := strings.NewReplacer(
		"{table}", name.Quoted("`", ""), "{index}", name.Bare("`", "_expires"), "{tokens}", name.Bare("`", "_tokens"),
		"{now}", "UTC_TIMESTAMP(6)", "{lasts}", "UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND",
		"{held}", "`key` = ? AND token = ? AND done = 0",
	).Replace
	return &mysql{
		look:     text("SELECT expires > {now}, done FROM {table} WHERE `key` = ?"),
		insert:   text("INSERT INTO {table} (`key`, done, expires) VALUES (?, 0, {lasts})"),
		lock:     text("SELECT 1 FROM {table} WHERE `key` = ? AND expires <= {now} FOR UPDATE SKIP LOCKED"),
		remove:   text("DELETE FROM {table} WHERE `key` = ?"),
		take:     text("UPDATE {table} SET token = ?, done = 0, expires = {lasts} WHERE `key` = ?"),
		expired:  text("SELECT `key` FROM {table} FORCE INDEX ({index}) WHERE expires < {now} - INTERVAL 1 HOUR ORDER BY expires LIMIT ? FOR UPDATE SKIP LOCKED"),
		cleaning: text("DELETE t FROM {table} AS t FORCE INDEX (PRIMARY) WHERE t.`key` IN (?"),
		statements: statements{
			schema: []string{text("CREATE TABLE IF NOT EXISTS {table} (\n" +
				"\t`key`   VARBINARY(257)  NOT NULL PRIMARY KEY,\n" +
				"\ttoken   BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,\n" +
				"\tdone    BOOLEAN         NOT NULL,\n" +
				"\texpires DATETIME(6)     NOT NULL,\n" +
				"\tKEY {tokens} (token),\n" +
				"\tKEY {index} (expires)\n" +
				") ENGINE = InnoDB")},
			probe:      text("SELECT `key`, token, done, expires FROM {table} WHERE false"),
			extend:     text("UPDATE {table} SET expires = {lasts} WHERE {held} AND expires > {now}"),
			holding:    text("SELECT 1 FROM {table} WHERE {held} AND expires > {now}"),
			complete:   text("UPDATE {table} SET done = 1, expires = {lasts} WHERE {held} AND expires > {now}"),
			completed:  text("SELECT 1 FROM {table} WHERE `key` = ? AND token = ? AND done = 1 AND expires > {now} LOCK IN SHARE MODE"),
			abandon:    text("UPDATE {table} SET expires = {now} WHERE {held} AND expires > {now}"),
			commits:    "SELECT @@autocommit",
			lastsFirst: true,
			unravels:   true,
		},
	}
}

// texts are the statements.
func (m *mysql) texts() *statements { return &m.statements }

// begin looks first, which takes no lock and waits for none.
func (m *mysql) begin(ctx context.Context, db *sql.DB, key []byte, lasts int64) (answer, error) {
	live, done, err := m.see(ctx, db, key)
	if err == nil && live && done {
		// Where READ UNCOMMITTED is the default it may be the mark of a transaction that is open, and is rolled back
		// perhaps. Whatever else a look sees too early does no harm: who takes a key locks it.
		err = inTx(ctx, db, &sql.TxOptions{Isolation: sql.LevelReadCommitted, ReadOnly: true}, func(tx *sql.Tx) (err error) {
			live, done, err = m.see(ctx, tx, key)
			return err
		})
	}
	switch {
	case err == nil && live:
		return seen(live, done), nil
	case err == nil:
		return m.claimExpired(ctx, db, key, lasts)
	case !errors.Is(err, sql.ErrNoRows):
		return answer{}, err
	}
	result, err := db.ExecContext(ctx, m.insert, key, lasts)
	if number(err) == duplicate {
		return answer{}, nil // another was faster
	}
	if err != nil {
		return answer{}, err
	}
	token, err := result.LastInsertId()
	return answer{token, idempotency.Fresh}, err
}

// see tells whether a key has a claim or mark that lasts, and whether that is a mark.
func (m *mysql) see(ctx context.Context, db caller, key []byte) (live, done bool, err error) {
	err = db.QueryRowContext(ctx, m.look, key).Scan(&live, &done)
	return live, done, err
}

// claimExpired claims a row whose claim or mark has expired. The token is taken when the row
// is locked, so that a later claim has a greater one.
func (m *mysql) claimExpired(ctx context.Context, db *sql.DB, key []byte, lasts int64) (a answer, err error) {
	err = inTx(ctx, db, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, m.lock, key).Scan(new(int))
		if errors.Is(err, sql.ErrNoRows) {
			return nil // another was faster, or a transaction has completed the claim and is open
		}
		if err != nil {
			return err
		}
		// Longer than any key is, so that it is none.
		dummy := make([]byte, table.MaxKey+1)
		_, _ = rand.Read(dummy) // never fails
		result, err := tx.ExecContext(ctx, m.insert, dummy, lasts)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, m.remove, dummy); err != nil {
			return err
		}
		token, err := result.LastInsertId()
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, m.take, token, lasts, key); err != nil {
			return err
		}
		a = answer{token, idempotency.Fresh}
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	return a, nil
}

// clean deletes rows that nobody has locked.
func (m *mysql) clean(ctx context.Context, db *sql.DB, most int) (n int64, err error) {
	err = inTx(ctx, db, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, m.expired, most)
		if err != nil {
			return err
		}
		defer rows.Close()
		var keys []any
		for rows.Next() {
			var key []byte
			if err := rows.Scan(&key); err != nil {
				return err
			}
			keys = append(keys, key)
		}
		if err := rows.Err(); err != nil || len(keys) == 0 {
			return err
		}
		result, err := tx.ExecContext(ctx, m.cleaning+strings.Repeat(", ?", len(keys)-1)+")", keys...)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

// migrate makes the table. MySQL has no transactions for that, and needs none here.
func (m *mysql) migrate(ctx context.Context, db *sql.DB) error {
	for _, text := range m.schema {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// The numbers of errors.
const duplicate = "1062"

var (
	numbered = regexp.MustCompile(`\bError (\d+)(?: \([0-9A-Z]{5}\))?:`)
	// A record that has changed since the snapshot, a lock that was not to be had in time, and a deadlock. The second
	// undoes the statement alone, which is all of the transaction, or its inTx rolls it back.
	passingNumbers = []string{"1020", "1205", "1213"}
	fullNumbers    = []string{"1021", "1041", "1114"}
)

// number is that of an error of the server, as the client prints it: it has a type of its own, and this package does
// without its module.
func number(err error) string {
	if err == nil {
		return ""
	}
	if found := numbered.FindStringSubmatch(err.Error()); found != nil {
		return found[1]
	}
	return ""
}

// fault reads the error's number.
func (m *mysql) fault(err error) fault {
	switch n := number(err); {
	case slices.Contains(passingNumbers, n):
		return passing
	case n == "1146":
		return missing
	case slices.Contains(fullNumbers, n):
		return full
	}
	return other
}
