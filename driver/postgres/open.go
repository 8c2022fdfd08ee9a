package postgres

import (
	"context"
	"net/url"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// init registers the driver.
func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: schemes,
		Open:    driver.OpenerOf(openURL),
		Types:   []driver.Driver{(*Driver)(nil), (*SQLDriver)(nil)},
	})
}

// Open connects to the database that the URL names, checks that it is fit, and makes
// the schema or brings it up to date unless migrate=false; the package documentation
// has the URL's form. It tries once: if the server cannot be reached, it returns
// driver.ErrUnavailable and does not wait. Errors do not repeat the URL's password.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	u, err := driver.ParseURL(Name, rawURL)
	if err != nil {
		return nil, err
	}
	return openURL(ctx, u)
}

// OpenSQL is [Open] for transactions of type *sql.Tx.
func OpenSQL(ctx context.Context, rawURL string) (*SQLDriver, error) {
	d, err := Open(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	return d.SQL(), nil
}

// Migrate makes the schema of the URL, or brings it up to date, for programs whose role may not: they open the
// driver with migrate=false. Programs may do it at the same time.
func Migrate(ctx context.Context, rawURL string) error {
	u, err := driver.ParseURL(Name, rawURL)
	if err != nil {
		return err
	}
	c, err := parseURL(u)
	if err != nil {
		return err
	}
	c.migrate = true
	_, err = c.ask(ctx)
	return refused(err)
}

// openURL is Open for a URL that was parsed.
func openURL(ctx context.Context, u *url.URL) (*Driver, error) {
	c, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fail("open", "", fault.NotSent{Err: err})
	}
	dialer := newDialer(&c.pool.ConnConfig.Config)
	s, err := c.ask(ctx)
	if err != nil {
		dialer.close()
		return nil, refused(err)
	}
	if s.pooled {
		// What is prepared on one connection of the server is not there on the next.
		c.pool.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	c.pool.PrepareConn = func(_ context.Context, conn *pgx.Conn) (bool, error) { return isUsable(conn), nil }
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), c.pool)
	if err != nil {
		return nil, refused(withoutConfig(err))
	}
	d := &base{pool: pool, texts: statementsOf(c.schema), schema: c.schema, plain: c.plain, home: home{s.identity, s.database}, window: c.window, dialer: dialer}
	d.info = driver.Info{Driver: Name, Broker: "PostgreSQL", Version: s.version, Limits: limits}
	d.cut, d.stop = context.WithCancelCause(context.Background())
	listening := c.pool.ConnConfig
	if s.pooled {
		listening = nil // a notification would go to the client that has that connection by then
	}
	d.bell = newBell(listening, c.schema)
	d.bell.poll, d.bell.forget, d.bell.inTx.loud = d.poll, d.forget, d.loud
	return &Driver{d}, nil
}

// refused is the error of an Open, which has stored nothing, whatever it was.
func refused(err error) error {
	err = fail("open", "", err)
	if de, ok := err.(*driver.Error); ok {
		de.Fate = driver.FateNotStored
	}
	return err
}
