package nats

import (
	"fmt"
	"time"
)

// Options are what [New] takes instead of a URL's parameters. A zero field has its
// default.
type Options struct {
	// Prefix is what the names of streams and subjects begin with: 1 to 32 bytes
	// of [A-Za-z0-9_-]. Defaults to "batch".
	Prefix string
	// Replicas is how many servers keep each queue, 1 to 5. It is used when a
	// queue is made; one that exists with another number is a conflict. Defaults
	// to 3 on a cluster and 1 on a single server, and to the number that a queue
	// has if it exists.
	Replicas int
	// DedupWindow is how long a dedup key is remembered, between a second and 30
	// days, rounded up to seconds. Defaults to 24 hours.
	DedupWindow time.Duration
	// GroupCommit stores the messages of one Enqueue in one atomic batch, if they are 16
	// or more. It is for a server that syncs each message to the disk before it answers
	// (sync_interval: always): a batch takes six syncs, however large it is, so that many
	// producers are many times faster, and a few are as fast as one. Other servers are
	// slower with it. Defaults to false.
	GroupCommit bool
	// Domain is the JetStream domain, for servers behind a leaf node. Defaults to
	// that of the server connected to.
	Domain string
}

const (
	defaultPrefix      = "batch"
	maxReplicas        = 5
	defaultDedupWindow = 24 * time.Hour
	minDedupWindow     = time.Second
	maxDedupWindow     = 30 * 24 * time.Hour
)

// complete fills in the defaults and checks the bounds.
func (o *Options) complete() error {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if !isName(o.Prefix, 32) {
		return invalid(fmt.Errorf("the prefix %q is not 1 to 32 of the characters A-Z a-z 0-9 _ -", o.Prefix))
	}
	if o.Domain != "" && !isName(o.Domain, 64) {
		return invalid(fmt.Errorf("the domain %q is not 1 to 64 of the characters A-Z a-z 0-9 _ -", o.Domain))
	}
	if o.Replicas < 0 || o.Replicas > maxReplicas {
		return invalid(fmt.Errorf("the replicas are %d, which is not from 1 to %d", o.Replicas, maxReplicas))
	}
	if o.DedupWindow == 0 {
		o.DedupWindow = defaultDedupWindow
	}
	if o.DedupWindow < minDedupWindow || o.DedupWindow > maxDedupWindow {
		return invalid(fmt.Errorf("the dedup window %s is not between %s and %s", o.DedupWindow, minDedupWindow, maxDedupWindow))
	}
	o.DedupWindow = (o.DedupWindow + time.Second - 1).Truncate(time.Second)
	return nil
}

// isName tells whether s may be part of the name of a stream and of a subject.
func isName(s string, most int) bool {
	if len(s) == 0 || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
