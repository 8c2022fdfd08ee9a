package embedded

import (
	"errors"
	"math"
	"net/url"
	"path/filepath"
	"time"

	"github.com/batch-go/batch/driver"
)

// parseURL reads a URL as doc.go documents it.
func parseURL(u *url.URL) (directory string, o Options, err error) {
	form := errors.New("the URL does not have the form jetstream:///directory or jetstream:directory")
	if u.Scheme != Name || u.User != nil || u.Host != "" || u.Fragment != "" {
		return "", o, invalid(form)
	}
	directory = u.Path
	if u.Opaque != "" {
		if directory, err = url.PathUnescape(u.Opaque); err != nil {
			return "", o, invalid(form)
		}
	}
	if directory == "" {
		return "", o, invalid(form)
	}
	p := driver.NewParams(Name, u)
	o.SyncAlways = p.Choice("sync", "interval", "interval", "always") == "always"
	if o.SyncAlways && p.Has("sync_interval") {
		p.Refuse("parameters sync=always and sync_interval exclude each other")
	}
	o.SyncInterval = p.Duration("sync_interval", defaultInterval, minInterval, maxInterval)
	o.MaxBytes = int64(p.Int("max_bytes", 0, 1<<20, math.MaxInt))
	o.Prefix = p.String("prefix", "")
	o.DedupWindow = p.Duration("dedup_window", 0, time.Second, 30*24*time.Hour)
	return filepath.FromSlash(directory), o, p.Err()
}
