package sqlstore

import (
	"context"
	"strings"

	"github.com/batch-go/batch/idempotency/internal/table"
	"github.com/batch-go/batch/internal/sqlname"
)

// Migrate makes the table if it is not there, and checks that it is as it should be if
// it is. Any number of processes may call it at once. A role that may not create tables
// gets the server's error: then another runs what [Schema] returns, and the program does
// not call Migrate.
func (s *Store) Migrate(ctx context.Context) error {
	return s.again(ctx, "migrate", func() error {
		if err := s.dialect.migrate(ctx, s.db); err != nil {
			return err
		}
		_, err := s.db.ExecContext(ctx, s.dialect.texts().probe)
		return err
	})
}

// Schema returns the SQL that makes the table of that name, "" for that of [Table]'s
// default, statement by statement with a semicolon after each. It changes nothing if the
// table is there.
func Schema(dialect Dialect, name string) (string, error) {
	if name == "" {
		name = table.DefaultName
	}
	parsed, err := sqlname.Parse(name)
	if err != nil {
		return "", err
	}
	d, err := dialect.of(parsed)
	if err != nil {
		return "", err
	}
	return strings.Join(d.texts().schema, ";\n") + ";\n", nil
}
