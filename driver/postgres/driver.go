package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/lifecycle"
)

// Driver is a connection to a database whose transactions are of type pgx.Tx. It has
// every capability.
type Driver struct{ *base }

// SQLDriver is a [Driver] for programs whose transactions are of type *sql.Tx, by any
// package for database/sql that speaks to PostgreSQL. It has every capability.
type SQLDriver struct{ *base }

// SQL returns the same driver for transactions of type *sql.Tx. Both share all, and
// closing one closes both.
func (d *Driver) SQL() *SQLDriver { return &SQLDriver{d.base} }

// base is what both types have in common.
type base struct {
	pool *pgxpool.Pool
	// texts are the statements for the schema.
	texts  []string
	schema string
	plain  bool // each transaction makes sure of what a confirmation means
	// home tells whether a transaction or a delivery is of the database and schema that the driver was opened on.
	home
	info   driver.Info
	window time.Duration
	// cut ends with a cause when calls that are under way are to end.
	cut  context.Context
	stop context.CancelCauseFunc
	bell *bell
	// dialer has all connections.
	dialer *dialer
	life   lifecycle.Handle
}

// Info describes the server.
func (d *base) Info() driver.Info { return d.info }

// PriorityLevels is 5.
func (d *base) PriorityLevels() int { return 5 }

// MaxDelay is ten years.
func (d *base) MaxDelay() time.Duration { return maxDelay }

// DedupWindow is how long a key is remembered if its message does not say.
func (d *base) DedupWindow() time.Duration { return d.window }

// ImportWindow is how long an import key is remembered: as long as a dedup key.
func (d *base) ImportWindow() time.Duration { return d.window }

// MaxGroups is 0: only the disk bounds them.
func (d *base) MaxGroups() int { return 0 }

// AtomicLimit is that of one Enqueue.
func (d *base) AtomicLimit() int { return maxBatch }

// Close ends the consumers and the connections.
func (d *base) Close(ctx context.Context) error {
	return fail("close", "", d.life.Close(ctx, func() bool {
		d.stop(driver.ErrClosed)
		d.dialer.close()
		d.bell.close()
		d.pool.Close()
		return true
	}))
}
