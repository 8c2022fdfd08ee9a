package peers

import (
	"database/sql"
	"path/filepath"

	_ "github.com/mattn/go-sqlite3" // the driver that the peers' own tests use; needs a C compiler

	"github.com/batch-go/batch/bench/performance/peer"
)

// openSQLite opens a database with a write-ahead log. With NORMAL what is committed survives the process, and
// with FULL the machine. There is one connection, as river's documentation advises and as is fastest for all:
// SQLite has one writer at a time.
func openSQLite(at peer.Place) (*sql.DB, error) {
	synchronous := "NORMAL"
	if at.Sync {
		synchronous = "FULL"
	}
	path := filepath.Join(at.Dir, "jobs.db")
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal=WAL&_timeout=30000&_fk=true&_txlock=immediate&_sync="+synchronous)
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}
