package memory

import (
	"context"
	"net/url"

	"github.com/batch-go/batch/driver"
)

// init registers the driver.
func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: []string{Name},
		Open:    driver.OpenerOf(openURL),
		Types:   []driver.Driver{(*Driver)(nil)},
	})
}

// New makes a handle on a new broker with default [Options].
func New() *Driver { return &Driver{newBase()} }

// NewPortable makes a handle without capabilities on a new broker with default
// [Options].
func NewPortable() *Portable { return &Portable{newBase()} }

// newBase makes a handle on a new broker with default options.
func newBase() base {
	d, _ := newBroker(Options{}.withDefaults(), "").open() // only a named broker refuses
	return d
}

// Open opens a broker by URL: memory:// for one of its own, memory://name for
// the one of that name in this process, which the first to open it makes and
// the last to close it ends. The parameters max_bytes, max_jobs and dedup_window
// are those of [Options]. If the named broker exists, a parameter that is given
// must be as the broker has it. Every error wraps [driver.ErrConfig] or is that of
// ctx.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	u, err := driver.ParseURL(Name, rawURL)
	if err != nil {
		return nil, err
	}
	return openURL(ctx, u)
}

// openURL is Open for a URL that was parsed.
func openURL(ctx context.Context, u *url.URL) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("open", "", err)
	}
	c, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	if c.name == "" {
		return newBroker(c.options.withDefaults(), "").Open()
	}
	named.mu.Lock()
	defer named.mu.Unlock()
	b, err := namedBroker(c.name, c.options)
	if err != nil {
		return nil, err
	}
	return b.Open()
}

// Open makes a handle on the broker, also after a [Broker.Crash]. It fails with
// driver.ErrClosed only on a broker that was opened by memory://name and whose
// last handle was closed.
func (b *Broker) Open() (*Driver, error) {
	d, err := b.open()
	if err != nil {
		return nil, err
	}
	return &Driver{d}, nil
}

// OpenPortable is [Broker.Open] for a handle without capabilities.
func (b *Broker) OpenPortable() (*Portable, error) {
	d, err := b.open()
	if err != nil {
		return nil, err
	}
	return &Portable{d}, nil
}

// open makes a handle of either type.
func (b *Broker) open() (base, error) {
	c, err := b.connect()
	return base{broker: b, conn: c}, err
}
