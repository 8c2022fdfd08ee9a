package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// oldest is the oldest version of the server, as server_version_num has it.
const oldest = 140000

// server is what a server says of itself.
type server struct {
	version  string
	database string
	identity [16]byte
	pooled   bool // a pooler is in between
}

// ask connects once, checks the server, and sees to the schema.
func (c *config) ask(ctx context.Context) (*server, error) {
	conn, err := c.connect(ctx)
	if isCode(err, "08P01") { // as PgBouncer refuses a parameter that it does not know
		c.makePlain()
		conn, err = c.connect(ctx)
	}
	if err != nil {
		return nil, connectFailure(ctx, withoutConfig(err))
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing) // it is done with
	}()
	var s server
	var number int
	var recovering, readOnly, committed bool
	var pid uint32
	err = conn.QueryRow(ctx, `SELECT current_database()::text, current_setting('server_version'), current_setting('server_version_num')::integer, pg_is_in_recovery(),
		current_setting('default_transaction_read_only')::boolean, current_setting('default_transaction_isolation') = 'read committed', pg_backend_pid()`).
		Scan(&s.database, &s.version, &number, &recovering, &readOnly, &committed, &pid)
	switch {
	case err != nil:
		return nil, err
	case number < oldest:
		return nil, faults.Refuse("open", "", driver.ErrUnsupported, fmt.Errorf("PostgreSQL %s", s.version), "PostgreSQL 14 or newer is needed")
	case recovering:
		return nil, faults.Refuse("open", "", driver.ErrUnsupported, errors.New("the server is a read replica, or recovers"), "name the primary, or add target_session_attrs=read-write to a URL with all servers")
	case readOnly:
		return nil, faults.Refuse("open", "", driver.ErrUnsupported, errors.New("default_transaction_read_only is on"), "switch it off for this role or database")
	case !committed: // only a pooler keeps the driver from setting it
		return nil, faults.Refuse("open", "", driver.ErrUnsupported, errors.New("default_transaction_isolation is not read committed"), "set it so for this role or database, as the pooler does not let the driver set it")
	}
	s.version, _, _ = cutVersion(s.version)
	// A pooler answers with a number of its own.
	s.pooled = c.plain || pid != conn.PgConn().PID()
	if err := c.checkSchema(ctx, conn); err != nil {
		return nil, err
	}
	return &s, conn.QueryRow(ctx, inSchema(`SELECT identity FROM batch.meta`, c.schema)).Scan(&s.identity)
}

// connect makes a connection that prepares nothing: there may be a pooler.
func (c *config) connect(ctx context.Context) (*pgx.Conn, error) {
	own := c.pool.ConnConfig.Copy()
	own.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, own)
}
