package sqlstore

import (
	"fmt"

	"github.com/batch-go/batch/internal/sqlname"
)

// Dialect says which database a store is on.
type Dialect uint8

const (
	// PostgreSQL is version 14 or newer, by any driver whose errors have a method
	// SQLState, as those of pgx and lib/pq have.
	PostgreSQL Dialect = iota + 1
	// MySQL is MySQL 8.0 or newer, or MariaDB 10.6 or newer, by github.com/go-sql-driver/mysql.
	MySQL
	// SQLite is version 3.24 or newer, by modernc.org/sqlite or github.com/mattn/go-sqlite3.
	SQLite
)

// String is the name of the database.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// of returns the dialect for a table.
func (d Dialect) of(name sqlname.Name) (dialect, error) {
	switch d {
	case PostgreSQL:
		return newPostgres(name), nil
	case MySQL:
		return newMySQL(name), nil
	case SQLite:
		return newSQLite(name), nil
	}
	return nil, fmt.Errorf("idempotency/sqlstore: the dialect is %s: must be PostgreSQL, MySQL or SQLite", d)
}
