package memory

import (
	"math"
	"net/url"

	"github.com/batch-go/batch/driver"
)

// config is what a URL says.
type config struct {
	name    string  // of the broker; empty for one of its own
	options Options // those not given are zero
}

// parseURL reads a URL. Its parameters are within their bounds.
func parseURL(u *url.URL) (config, error) {
	if u.Scheme != Name || u.Opaque != "" || u.User != nil || u.Port() != "" || u.Path != "" || u.Fragment != "" {
		return config{}, faults.Refuse("open", "", driver.ErrConfig, nil, "the URL is memory:// or memory://name, with parameters")
	}
	p := driver.NewParams(Name, u)
	c := config{
		name: u.Hostname(),
		options: Options{
			MaxBytes:    int64(p.Int("max_bytes", 0, minMaxBytes, math.MaxInt)),
			MaxJobs:     p.Int("max_jobs", 0, 1, math.MaxInt),
			DedupWindow: p.Duration("dedup_window", 0, minDedupWindow, maxDedupWindow),
		},
	}
	return c, p.Err()
}
