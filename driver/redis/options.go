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
	// WaitReplicas is how many replicas must have a job before an enqueue or import of it
	// succeeds. With fewer it fails after WaitTimeout, and may be stored: as long as the
	// primary lives it is. So a failover to one of those replicas loses nothing that was
	// confirmed. Defaults to 0; at most 100.
	WaitReplicas int
	// WaitAOF also waits until the job is synced in the append-only file of the primary,
	// and of those replicas. It needs Redis 7.2 or Valkey, and appendonly. With appendfsync
	// everysec an enqueue takes up to a second.
	WaitAOF bool
	// WaitTimeout bounds the wait for replicas and files, between 1 ms and a minute. It
	// must be shorter than the client's read timeout. Defaults to 2 seconds.
	WaitTimeout time.Duration
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
	if o.WaitTimeout == 0 {
		o.WaitTimeout = defaultWaitTimeout
	}
	if o.WaitReplicas < 0 || o.WaitReplicas > maxReplicas {
		return invalid(fmt.Errorf("the WaitReplicas %d are not between 0 and %d", o.WaitReplicas, maxReplicas))
	}
	if o.WaitTimeout < minWaitTimeout || o.WaitTimeout > maxWaitTimeout {
		return invalid(fmt.Errorf("the WaitTimeout %s is not between %s and %s", o.WaitTimeout, minWaitTimeout, maxWaitTimeout))
	}
	return nil
}

// durability is what the options say of it.
func (o *Options) durability() durability {
	return durability{o.WaitReplicas, o.WaitAOF, o.WaitTimeout}
}
