package redis

import (
	"fmt"
	"time"
)

// Options are what [New] takes instead of a URL's parameters. A zero field has its
// default.
type Options struct {
	// DedupWindow is how long a dedup key is remembered, between a second and
	// 30 days. Defaults to 24 hours.
	DedupWindow time.Duration
	// AllowEviction accepts a server whose maxmemory-policy may evict keys: jobs, or
	// with volatile-* the unique keys of jobs, which are then stored twice. Defaults to
	// false.
	AllowEviction bool
}

const (
	defaultDedupWindow = 24 * time.Hour
	minDedupWindow     = time.Second
	maxDedupWindow     = 30 * 24 * time.Hour
)

// complete fills in the defaults and checks the bounds.
func (o *Options) complete() error {
	if o.DedupWindow == 0 {
		o.DedupWindow = defaultDedupWindow
	}
	if o.DedupWindow < minDedupWindow || o.DedupWindow > maxDedupWindow {
		return invalid(fmt.Errorf("the DedupWindow %s is not between %s and %s", o.DedupWindow, minDedupWindow, maxDedupWindow))
	}
	return nil
}
