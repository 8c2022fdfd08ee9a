package table

import (
	"strings"

	"github.com/batch-go/batch/internal/sqlname"
)

// Postgres has the statements for PostgreSQL, with $1 and so on for parameters, whose
// types are in the text: they need not be prepared. Keys are bytea, tokens and
// durations, in microseconds, bigint.
type Postgres struct {
	// Lock is held while the table is made. Its parameter is the table's name.
	Lock string
	// Schema makes the table, one statement each.
	Schema []string
	// Probe fails if the table is not as it should be.
	Probe string
	// Begin claims the key $1 for $2, and returns a token, 0 if it could not, whether
	// another claim or mark was seen that has not expired, and whether that is a mark.
	// With neither, another was faster or is about to end, and Begin is asked again.
	Begin string
	// Extend makes the claim $1, $2 end after $3.
	Extend string
	// Holding has a row if the claim $1, $2 holds its key.
	Holding string
	// Complete makes the key done for $3 if the claim $1, $2 holds it.
	Complete string
	// Completed has a row if the claim $1, $2 is complete. It sees what others have
	// committed after the transaction began.
	Completed string
	// Abandon ends the claim $1, $2 if it holds the key.
	Abandon string
	// Clean deletes $1 rows at most.
	Clean string
}

// PostgresOf returns the statements for a table.
//
// A token is taken from the sequence when the row is locked, so that a later claim on
// it has a greater one. Only the first claim of a row takes its token before it has
// the row. That row stays for Grace, so that no claim on an earlier row of the key,
// which is gone, can have a greater one.
//
// Begin waits for no transaction that has completed a claim and is open: a claim that
// has expired meanwhile is that transaction's until it ends.
func PostgresOf(n sqlname.Name) Postgres {
	text := strings.NewReplacer(
		"{table}", n.Quoted(`"`, ""), "{index}", n.Bare(`"`, "_expires"), "{tokens}", n.Quoted(`"`, "_tokens"),
		"{grace}", "interval '"+graceText+"'",
	).Replace
	return Postgres{
		Lock: `SELECT pg_advisory_xact_lock(hashtext('batch idempotency'), hashtext($1::text))`,
		Schema: []string{
			// The sequence does not belong to the table, so that tokens grow also after the table was made anew.
			text(`CREATE SEQUENCE IF NOT EXISTS {tokens} CACHE 1 NO CYCLE`),
			text(`CREATE TABLE IF NOT EXISTS {table} (
	key     bytea       PRIMARY KEY,
	token   bigint      NOT NULL,
	done    boolean     NOT NULL,
	expires timestamptz NOT NULL
)`),
			text(`CREATE INDEX IF NOT EXISTS {index} ON {table} (expires)`),
		},
		Probe: text(`SELECT key, token, done, expires, nextval('{tokens}') FROM {table} WHERE false`),
		Begin: text(`WITH found AS (
	SELECT done, expires > clock_timestamp() AS live FROM {table} WHERE key = $1::bytea
), stale AS (
	SELECT key FROM {table} WHERE key = $1::bytea AND expires <= clock_timestamp() FOR UPDATE SKIP LOCKED
), taken AS (
	UPDATE {table} t SET token = nextval('{tokens}'), done = false, expires = clock_timestamp() + $2::bigint * interval '1 microsecond'
	FROM stale WHERE t.key = stale.key RETURNING t.token
), made AS (
	INSERT INTO {table} (key, token, done, expires)
	SELECT $1::bytea, nextval('{tokens}'), false, clock_timestamp() + $2::bigint * interval '1 microsecond'
	WHERE NOT EXISTS (SELECT FROM found)
	ON CONFLICT (key) DO NOTHING RETURNING token
)
SELECT coalesce((SELECT token FROM taken), (SELECT token FROM made), 0), coalesce((SELECT live FROM found), false), coalesce((SELECT done FROM found), false)`),
		Extend: text(`UPDATE {table} SET expires = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE key = $1::bytea AND token = $2::bigint AND NOT done AND expires > clock_timestamp()`),
		Holding: text(`SELECT 1 FROM {table}
WHERE key = $1::bytea AND token = $2::bigint AND NOT done AND expires > clock_timestamp()`),
		Complete: text(`UPDATE {table} SET done = true, expires = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE key = $1::bytea AND token = $2::bigint AND NOT done AND expires > clock_timestamp()`),
		Completed: text(`SELECT 1 FROM {table}
WHERE key = $1::bytea AND token = $2::bigint AND done AND expires > clock_timestamp() FOR SHARE`),
		Abandon: text(`UPDATE {table} SET expires = clock_timestamp()
WHERE key = $1::bytea AND token = $2::bigint AND NOT done AND expires > clock_timestamp()`),
		// now() is one moment for the statement, so that the index serves.
		Clean: text(`DELETE FROM {table} WHERE key = ANY (ARRAY (
	SELECT key FROM {table} WHERE expires < now() - {grace} ORDER BY expires LIMIT $1::bigint FOR UPDATE SKIP LOCKED))`),
	}
}
