package outbox

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch/internal/sqlname"
)

// Dialect says which database a box is in.
type Dialect uint8

const (
	// MySQL is MySQL 8.0 or newer, or MariaDB 10.6 or newer, by github.com/go-sql-driver/mysql.
	MySQL Dialect = iota + 1
	// SQLite is version 3.24 or newer, by modernc.org/sqlite or github.com/mattn/go-sqlite3.
	SQLite
)

// String is the name of the database.
func (d Dialect) String() string {
	switch d {
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// DefaultTable is the name of the table if the application chooses none.
const DefaultTable = "batch_outbox"

const (
	// mostLease is the longest lease of a relay that can be configured.
	mostLease = 10 * time.Minute
	// clockStep is how far a lease may be beyond that: by so much the database's clock is set back at times, while all is well. A
	// lease that ends later yet was taken before the clock was set back by more, and nobody waits for its end.
	clockStep = time.Minute
)

// statements are what a box asks its database. Row 1 is the lease of the relay, and those of jobs have greater numbers. A row
// that a relay has read is known by its number and by when it was stored: after a failover a number may be another job's.
type statements struct {
	schema   []string
	identity string
	insert   string // followed by further rows
	row      string // a further one
	acquire  string // by the token, for microseconds, with the token
	renew    string // for microseconds, by the token
	holds    string
	release  string
	next     string // the first queue of jobs that wait, from this name on
	page     string // up to how many bytes forms are wanted, of which queue, and of how many jobs at most
	form     string // of a job
	levels   bool   // a transaction has the isolation that it asks for
	commits  string // whether what is no transaction's lasts, empty if it always does
	depth    string
	parked   string // behind an ID, the first n
	park     string // with the reason, by an ID and when it was stored
	retry    string // followed by IDs
	discard  string // followed by IDs
	remove   string // followed by pairs
	pair     string // an ID and when it was stored: a further row
}

// statementsOf writes them for a table.
func (d Dialect) statementsOf(name sqlname.Name) statements {
	quote, index := "`", name.Bare("`", "_parked")
	if d == SQLite { // where indexes are beside tables
		quote, index = `"`, name.Quoted(`"`, "_parked")
	}
	// Microseconds since 1970, by the database's clock.
	now := map[Dialect]string{
		MySQL:  "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
		SQLite: "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000",
	}[d]
	replace := strings.NewReplacer(
		"{table}", name.Quoted(quote, ""), "{bare}", name.Bare(quote, ""), "{index}", index, "{now}", now,
		"{stored}", map[Dialect]string{MySQL: "stored", SQLite: "CAST(stored AS INTEGER)"}[d], // which may have anything there
		"{farthest}", strconv.FormatInt((mostLease+clockStep).Microseconds(), 10),
		"{indexed}", map[Dialect]string{MySQL: "FORCE INDEX ({index})"}[d],
		// By its key: a scan of a small table would wait for rows that open transactions have written.
		"{delete}", map[Dialect]string{MySQL: "DELETE o FROM {table} AS o FORCE INDEX (PRIMARY)", SQLite: "DELETE FROM {table}"}[d],
	).Replace
	text := func(s string) string { return replace(replace(s)) } // what replaces one may have another in it
	return statements{
		schema:   d.schemaOf(text),
		identity: text("SELECT job FROM {table} WHERE id = 1 AND parked = 0"),
		insert:   text("INSERT INTO {table} (queue, job, stored) VALUES (?, ?, {now})"),
		row:      text(", (?, ?, {now})"),
		acquire:  text("UPDATE {table} SET token = ?, expires = {now} + ? WHERE id = 1 AND (expires <= {now} OR expires > {now} + {farthest})"),
		renew:    text("UPDATE {table} SET expires = {now} + ? WHERE id = 1 AND token = ? AND expires > {now}"),
		holds:    text("SELECT 1 FROM {table} WHERE id = 1 AND token = ? AND expires > {now}"),
		release:  text("UPDATE {table} SET expires = 0 WHERE id = 1 AND token = ?"),
		// By queue, as the jobs of one that rests are many perhaps, and none of them is to be read then.
		next:    text("SELECT queue FROM {table} {indexed} WHERE parked IS NULL AND queue >= ? AND id > 1 ORDER BY queue LIMIT 1"),
		page:    text("SELECT id, {stored}, CASE WHEN LENGTH(job) <= ? THEN job END FROM {table} {indexed} WHERE parked IS NULL AND queue = ? AND id > 1 ORDER BY id LIMIT ?"),
		form:    text("SELECT job FROM {table} WHERE id = ?"),
		levels:  d == MySQL,
		commits: map[Dialect]string{MySQL: "SELECT @@autocommit"}[d],
		depth: text("SELECT (SELECT COUNT(*) FROM {table} WHERE parked IS NULL AND id > 1), (SELECT COUNT(*) FROM {table} WHERE parked > 0 AND id > 1), " +
			"{now} - (SELECT MIN(stored) FROM {table} WHERE parked IS NULL AND id > 1)"),
		parked:  text("SELECT id, queue, job, stored, parked, reason FROM {table} WHERE parked > 0 AND id > 1 AND id > ? ORDER BY id LIMIT ?"),
		park:    text("UPDATE {table} SET parked = {now}, reason = ? WHERE parked IS NULL AND id = ? AND {stored} = ?"),
		retry:   text("UPDATE {table} SET parked = NULL, reason = NULL WHERE parked > 0 AND id IN (?"),
		discard: text("{delete} WHERE id > 1 AND id IN (?"),
		remove:  text("{delete} WHERE (id = ? AND {stored} = ?"),
		pair:    text(") OR (id = ? AND {stored} = ?"),
	}
}

// schemaOf are the statements that make the table, which text completes.
func (d Dialect) schemaOf(text func(string) string) []string {
	if d == SQLite {
		return []string{
			text("CREATE TABLE IF NOT EXISTS {table} (\n" +
				"\tid      INTEGER PRIMARY KEY AUTOINCREMENT,\n" +
				"\tqueue   BLOB    NOT NULL CHECK (typeof(queue) = 'blob'),\n" + // a text is another value, and would not be found
				"\tjob     BLOB    NOT NULL,\n" +
				"\tstored  INTEGER NOT NULL,\n" +
				"\tparked  INTEGER,\n" +
				"\treason  TEXT,\n" +
				"\ttoken   INTEGER,\n" +
				"\texpires INTEGER\n" +
				")"),
			text("INSERT OR IGNORE INTO {table} (id, queue, job, stored, parked, token, expires) VALUES (1, x'', lower(hex(randomblob(16))), 0, 0, 0, 0)"),
			text("CREATE INDEX IF NOT EXISTS {index} ON {bare} (parked, queue, id, stored)"),
		}
	}
	return []string{
		text("CREATE TABLE IF NOT EXISTS {table} (\n" +
			"\tid      BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,\n" +
			"\tqueue   VARBINARY(255) NOT NULL,\n" +
			"\tjob     LONGBLOB       NOT NULL,\n" +
			"\tstored  BIGINT         NOT NULL,\n" +
			"\tparked  BIGINT,\n" +
			"\treason  TEXT,\n" +
			"\ttoken   BIGINT,\n" +
			"\texpires BIGINT,\n" +
			"\tKEY {index} (parked, queue, id, stored)\n" +
			") ENGINE = InnoDB CHARACTER SET utf8mb4 AUTO_INCREMENT = 2"),
		text("INSERT IGNORE INTO {table} (id, queue, job, stored, parked, token, expires) VALUES (1, '', UUID(), 0, 0, 0, 0)"),
	}
}
