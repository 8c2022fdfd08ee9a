package embedded

import (
	"fmt"
	"time"
)

// Options are what [New] takes instead of a URL's parameters. A zero field has its
// default.
type Options struct {
	// SyncAlways syncs each job to the disk before it is accepted. Defaults to
	// false.
	SyncAlways bool
	// SyncInterval is how often what was written is synced to the disk, between
	// 10 ms and 10 minutes. Defaults to a second. It has no effect with SyncAlways.
	SyncInterval time.Duration
	// MaxBytes is how many bytes the directory may hold. Defaults to three quarters
	// of what is free on its disk.
	MaxBytes int64
	// Prefix and DedupWindow are those of [nats.Options].
	Prefix      string
	DedupWindow time.Duration
}

const (
	defaultInterval = time.Second
	minInterval     = 10 * time.Millisecond
	maxInterval     = 10 * time.Minute
)

// complete fills in the defaults and checks the bounds of what concerns the
// server; package nats checks the rest.
func (o *Options) complete() error {
	if o.SyncInterval == 0 {
		o.SyncInterval = defaultInterval
	}
	if o.SyncInterval < minInterval || o.SyncInterval > maxInterval {
		return invalid(fmt.Errorf("the sync interval %s is not between %s and %s", o.SyncInterval, minInterval, maxInterval))
	}
	if o.MaxBytes < 0 {
		return invalid(fmt.Errorf("the bytes %d are fewer than none", o.MaxBytes))
	}
	return nil
}

// sameServer tells whether both start a server with the same parameters.
func (o *Options) sameServer(other *Options) bool {
	return o.SyncAlways == other.SyncAlways && o.SyncInterval == other.SyncInterval && o.MaxBytes == other.MaxBytes
}
