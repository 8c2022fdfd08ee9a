package memory

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"sync"

	"github.com/batch-go/batch/driver"
)

func init() {
	driver.Register(driver.Registration{
		Name:    driverName,
		Schemes: []string{driverName},
		Open: func(ctx context.Context, u *url.URL) (driver.Driver, error) {
			d, err := open(ctx, u)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
		Types: []driver.Driver{(*Driver)(nil)},
	})
}

// names are the brokers that memory://name opens.
var names struct {
	mu      sync.Mutex // guards following
	brokers map[string]*Broker
}

// Open opens a broker by URL: memory:// for one of its own, memory://name for
// the one of that name in this process, which the first to open it makes and
// the last to close it ends. The parameters max_bytes, max_jobs and dedup_window
// are those of [Options]. Whoever opens a named broker that exists either gives
// the parameters that it was made with, or leaves them out. Every error wraps
// [driver.ErrConfig], or is ctx's.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, refuse("open", "", driver.ErrConfig, err, "")
	}
	return open(ctx, u)
}

func open(ctx context.Context, u *url.URL) (*Driver, error) {
	if err := ended(ctx, "open", ""); err != nil {
		return nil, err
	}
	if u.Scheme != driverName || u.Opaque != "" || u.User != nil || u.Port() != "" || u.Path != "" || u.Fragment != "" {
		return nil, refuse("open", "", driver.ErrConfig, nil, "the URL is memory:// or memory://name, with parameters")
	}
	given, err := parseOptions(u)
	if err != nil {
		return nil, err
	}
	options := given.withDefaults()
	shared := u.Hostname()
	if shared == "" {
		return newBroker(options, "").Open()
	}
	names.mu.Lock()
	defer names.mu.Unlock()
	b := names.brokers[shared]
	if b == nil {
		b = newBroker(options, shared)
		if names.brokers == nil {
			names.brokers = make(map[string]*Broker)
		}
		names.brokers[shared] = b
	} else if err := given.agree(b.options); err != nil {
		return nil, refuse("open", "", driver.ErrConfig, err, "leave out the parameters of a named broker that exists")
	}
	return b.Open()
}

// parseOptions reads the URL's parameters, within their bounds; those not given
// are zero.
func parseOptions(u *url.URL) (Options, error) {
	p := driver.NewParams(driverName, u)
	o := Options{
		MaxBytes:    int64(p.Int("max_bytes", 0, minMaxBytes, math.MaxInt)),
		MaxJobs:     p.Int("max_jobs", 0, 1, math.MaxInt),
		DedupWindow: p.Duration("dedup_window", 0, minDedupWindow, maxDedupWindow),
	}
	return o, p.Err()
}

// agree is nil if what is given is the same in other.
func (o Options) agree(other Options) error {
	switch {
	case o.MaxBytes != 0 && o.MaxBytes != other.MaxBytes:
		return fmt.Errorf("the broker has max_bytes=%d", other.MaxBytes)
	case o.MaxJobs != 0 && o.MaxJobs != other.MaxJobs:
		return fmt.Errorf("the broker has max_jobs=%d", other.MaxJobs)
	case o.DedupWindow != 0 && o.DedupWindow != other.DedupWindow:
		return fmt.Errorf("the broker has dedup_window=%s", other.DedupWindow)
	}
	return nil
}
