package sqlstore

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// nowhere is a database to which no connection comes about.
func nowhere(t *testing.T) *sql.DB {
	db := sql.OpenDB(refusing{})
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestNewRefuses(t *testing.T) {
	db := nowhere(t)
	for name, make := range map[string]func() (*Store, error){
		"no database":      func() (*Store, error) { return New(nil, SQLite) },
		"no dialect":       func() (*Store, error) { return New(db, 0) },
		"unknown dialect":  func() (*Store, error) { return New(db, 9) },
		"a name to inject": func() (*Store, error) { return New(db, SQLite, Table(`k"; DROP TABLE x; --`)) },
		"no function":      func() (*Store, error) { return New(db, SQLite, OnFault(nil)) },
		"the zero option":  func() (*Store, error) { return New(db, SQLite, Option{}) },
	} {
		if store, err := make(); err == nil || store != nil || !strings.HasPrefix(err.Error(), "idempotency/sqlstore: ") {
			t.Errorf("%s: the store is %v, the error %v", name, store, err)
		}
	}
}

func TestSchema(t *testing.T) {
	for _, d := range []Dialect{PostgreSQL, MySQL, SQLite} {
		text, err := Schema(d, "")
		if err != nil || !strings.Contains(text, "batch_idempotency") || !strings.HasSuffix(text, ";\n") || strings.ContainsAny(text, "{}") {
			t.Errorf("the schema for %s is %q; error %v", d, text, err)
		}
		if _, err := Schema(d, "K"); err == nil {
			t.Errorf("a name that is none was taken for %s", d)
		}
	}
	if _, err := Schema(9, ""); err == nil {
		t.Error("an unknown dialect has a schema")
	}
}

// What errors of clients say is taken from their text, where they have no method for it.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		dialect Dialect
		err     error
		want    fault
	}{
		{MySQL, errors.New("Error 1213 (40001): Deadlock found when trying to get lock"), passing},
		{MySQL, errors.New("Error 1205 (HY000): Lock wait timeout exceeded"), passing},
		{MySQL, errors.New("Error 1020 (HY000): Record has changed since last read in table 'k'"), passing},
		{MySQL, fmt.Errorf("begin: %w", errors.New("Error 1213 (40001): Deadlock found")), passing},
		{MySQL, errors.New("Error 1146 (42S02): Table 'batch.k' doesn't exist"), missing},
		{MySQL, errors.New("Error 1114 (HY000): The table 'k' is full"), full},
		{MySQL, errors.New("Error 1062 (23000): Duplicate entry 'Error 1213: ' for key 'PRIMARY'"), other},
		{MySQL, errors.New("invalid connection"), other},
		{SQLite, errors.New("database is locked (5) (SQLITE_BUSY)"), passing},
		{SQLite, errors.New("database table is locked"), passing},
		{SQLite, errors.New("SQL logic error: no such table: k (1)"), missing},
		{SQLite, errors.New("database or disk is full (13)"), full},
		{SQLite, errors.New("attempt to write a readonly database (8)"), other},
		{PostgreSQL, coded("40001"), passing},
		{PostgreSQL, fmt.Errorf("begin: %w", coded("40P01")), passing},
		{PostgreSQL, coded("42P01"), missing},
		{PostgreSQL, coded("53100"), full},
		{PostgreSQL, coded("42501"), other},
		{PostgreSQL, errors.New("40001"), other},
	} {
		store, err := New(nowhere(t), test.dialect)
		if err != nil {
			t.Fatal(err)
		}
		if got := store.dialect.fault(test.err); got != test.want {
			t.Errorf("%s: %v is %d, want %d", test.dialect, test.err, got, test.want)
		}
	}
}

// coded is an error with an SQLSTATE.
type coded string

func (c coded) Error() string    { return "code " + string(c) }
func (c coded) SQLState() string { return string(c) }

// refusing is what makes no connection.
type refusing struct{ driver.Connector }

func (refusing) Driver() driver.Driver { return nil }
