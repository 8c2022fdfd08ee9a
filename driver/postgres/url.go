package postgres

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch/driver"
)

// schemes are those of the URLs that the driver opens.
var schemes = []string{"postgres", "postgresql"}

// config is what a URL says.
type config struct {
	pool    *pgxpool.Config
	plain   bool // no parameter of the driver's own may begin a connection
	schema  string
	window  time.Duration
	migrate bool
}

// libpq are the parameters that are the client library's, and mean what they mean to
// every program that speaks to PostgreSQL:
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
var libpq = []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslsni", "target_session_attrs", "connect_timeout", "application_name", "channel_binding"}

// parseURL reads a URL of the form that doc.go documents. No error repeats a
// credential.
func parseURL(u *url.URL) (*config, error) {
	p := driver.NewParams(Name, u)
	if u.Scheme != schemes[0] && u.Scheme != schemes[1] {
		p.Refuse("the scheme %q is none of %s", u.Scheme, strings.Join(schemes, ", "))
	}
	if u.Opaque != "" || u.Fragment != "" || strings.Trim(u.Path, "/") == "" {
		p.Refuse("the URL does not have the form postgres://user:password@host:port/database")
	}
	c := &config{schema: p.String("schema", "batch")}
	if !schemaName.MatchString(c.schema) || strings.HasPrefix(c.schema, "pg_") || c.schema == "public" {
		p.Refuse("parameter schema=%q is not a name of its own of lower-case letters, digits and underscores, up to 48", c.schema)
	}
	c.window = p.Duration("dedup_window", defaultDedupWindow, minDedupWindow, maxDedupWindow)
	c.migrate = p.Bool("migrate", true)
	most := p.Int("pool_size", 10, 2, 1000)
	own := url.Values{}
	for _, name := range libpq {
		if p.Has(name) {
			own.Set(name, p.String(name, ""))
		}
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	plain := *u
	plain.Scheme, plain.RawQuery = "postgres", own.Encode()
	pool, err := pgxpool.ParseConfig(plain.String())
	if err != nil {
		return nil, invalid(parseFailure(err))
	}
	c.pool = pool
	pool.MaxConns = int32(most)
	pool.MinConns = 0
	if !own.Has("connect_timeout") {
		pool.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	run := pool.ConnConfig.RuntimeParams
	if run["application_name"] == "" {
		run["application_name"] = "batch"
	}
	run["timezone"] = "UTC"
	for name, value := range firm {
		run[name] = value
	}
	return c, nil
}

// firm are the settings that are not the role's to change: what a confirmation means, and how statements are read.
var firm = map[string]string{"synchronous_commit": "on", "search_path": "", "default_transaction_isolation": "read committed"}

// makePlain leaves the settings out, for poolers that take none but those that they know.
func (c *config) makePlain() {
	c.plain = true
	for name := range firm {
		delete(c.pool.ConnConfig.RuntimeParams, name)
	}
}

// parseFailure is an error of the client library's without the URL that it repeats.
func parseFailure(err error) error {
	text := err.Error()
	if at := strings.LastIndex(text, ": "); at >= 0 && !strings.Contains(text[at:], "@") {
		return fmt.Errorf("the URL cannot be read: %s", strings.Trim(text[at+2:], "()` "))
	}
	return fmt.Errorf("the URL cannot be read")
}
