package pgxstore

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/idempotency/internal/table"
	"github.com/batch-go/batch/internal/sqlname"
)

// Migrate makes the table if it is not there, and checks that it is as it should be if
// it is. Any number of processes may call it at once. A role that may not create tables
// gets the server's error: then another runs what [Schema] returns, and the program does
// not call Migrate.
func (s *Store) Migrate(ctx context.Context) error {
	return s.again(ctx, "migrate", func() error {
		return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, s.sql.Lock, s.name.String()); err != nil {
				return err
			}
			for _, text := range append(s.sql.Schema, s.sql.Probe) {
				if _, err := tx.Exec(ctx, text); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// Schema returns the SQL that makes the table of that name, "" for that of [Table]'s
// default, statement by statement with a semicolon after each. It changes nothing if the
// table is there.
func Schema(name string) (string, error) {
	if name == "" {
		name = table.DefaultName
	}
	parsed, err := sqlname.Parse(name)
	if err != nil {
		return "", err
	}
	return strings.Join(table.PostgresOf(parsed).Schema, ";\n") + ";\n", nil
}
