package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/batch-go/batch/driver"
)

// The parts of version 1.
var (
	//go:embed schema/tables.sql
	tablesSQL string
	//go:embed schema/enqueue.sql
	enqueueSQL string
	//go:embed schema/receive.sql
	receiveSQL string
)

// migrations bring the schema from each version to the next; the first makes it. What was published is
// not changed: each change is a migration of its own.
var migrations = []string{tablesSQL + enqueueSQL + receiveSQL}

// Schema is the SQL that makes the schema of that name, for a role that may. The driver is opened with
// migrate=false then.
func Schema(name string) (string, error) {
	if !schemaName.MatchString(name) {
		return "", invalid(fmt.Errorf("the schema %q is not a name of lower-case letters, digits and underscores, up to 48", name))
	}
	return "CREATE SCHEMA IF NOT EXISTS " + pgx.Identifier{name}.Sanitize() + ";\n" + inSchema(strings.Join(migrations, "\n"), name), nil
}

// checkSchema sees to it that the schema has the version of this program.
func (c *config) checkSchema(ctx context.Context, conn *pgx.Conn) error {
	version, err := c.version(ctx, conn)
	if err != nil {
		return err
	}
	switch {
	case version == len(migrations):
		return nil
	case version > len(migrations):
		return faults.Refuse("open", "", driver.ErrUnsupported, fmt.Errorf("the schema %s has version %d, and this program knows %d", c.schema, version, len(migrations)), "upgrade the program")
	case !c.migrate:
		return faults.Refuse("open", "", driver.ErrConfig, fmt.Errorf("the schema %s has version %d of %d, and migrate=false", c.schema, version, len(migrations)), "run postgres.Migrate, or what postgres.Schema returns, by a role that may create it")
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return c.migrateIn(ctx, tx) })
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return faults.Refuse("open", "", driver.ErrUnauthorized, err, "run postgres.Migrate, or what postgres.Schema returns, by a role that may create it")
	}
	return err
}

// version is that of the schema, zero if there is none.
func (c *config) version(ctx context.Context, conn interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (version int, err error) {
	var there bool
	// Not by to_regclass, which may answer of a cache from before the lock of migrateIn.
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'meta')`, c.schema).Scan(&there)
	if err == nil && there {
		err = conn.QueryRow(ctx, inSchema(`SELECT version FROM batch.meta`, c.schema)).Scan(&version)
	}
	return version, err
}

// migrateIn brings the schema up to date. Others wait until the transaction ends.
func (c *config) migrateIn(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('batch migrations'), hashtext($1))`, c.schema); err != nil {
		return err
	}
	version, err := c.version(ctx, tx)
	if err != nil || version >= len(migrations) {
		return err
	}
	if version == 0 {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{c.schema}.Sanitize()); err != nil {
			return err
		}
	}
	for _, migration := range migrations[version:] {
		// Without arguments, so that it may have many statements.
		if _, err := tx.Conn().PgConn().Exec(ctx, inSchema(migration, c.schema)).ReadAll(); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, inSchema(`UPDATE batch.meta SET version = $1`, c.schema), len(migrations))
	return err
}

// connectFailure is why no connection came about.
func connectFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// cutVersion is the number of a version without what a distribution adds to it.
func cutVersion(version string) (number, rest string, cut bool) { return strings.Cut(version, " ") }
