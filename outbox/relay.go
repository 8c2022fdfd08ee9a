package outbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// grace is how long what is under way may take after the end of Run's context.
const grace = 10 * time.Second

// RelayConfig configures a [Relay]. The zero value is a good one.
type RelayConfig struct {
	// Interval is the time between two looks into a table that is empty: 10 ms to an hour. It bounds how late a
	// job is whose commit no [Relay.Wake] followed. Zero is a second.
	Interval time.Duration
	// Lease is for how long the table is a relay's that does not renew it: 1 s to 10 minutes. If a relay dies,
	// another goes on after that time. A request to the broker may take a third of it. Zero is 15 s.
	Lease time.Duration
	// Log is where the relay writes what happens: at level warn that it cannot go on, once until it can, or for
	// another reason, and jobs that it parks, without their bodies; at info that it goes on; at debug that the lease is its own. Nil means slog.Default().
	Log *slog.Logger
}

// Stats is what a relay has done so far.
type Stats struct {
	// Relayed is how many jobs were taken to the broker. Of these it had Repeated from a try before, as of a relay
	// that died, as far as it can tell, and did not store Duplicates, whose Unique key another job has.
	Relayed, Repeated, Duplicates int64
	// Parked is how many the broker cannot keep.
	Parked int64
	// Leads tells whether the lease is this relay's.
	Leads bool
	// Err is why the relay could not go on when it last tried, with one queue at least, nil if it could.
	Err error
}

// Relay takes the jobs of a box to a broker. Make it with [NewRelay].
type Relay struct {
	box    *Box
	target batch.Importer
	config RelayConfig
	once   bool // the target remembers what it has imported
	wake   chan struct{}
	runs   atomic.Bool
	queues map[string]*outlet // of run alone
	last   string             // the queue that had its turn last, of run alone
	sent   map[int64]string   // rows whose jobs are stored and that are not deleted yet, with their sums, of run alone

	mu    sync.Mutex // guards stats
	stats Stats
}

// NewRelay makes a relay from a box to a broker. It sends nothing. An error wraps [batch.ErrInvalid].
func NewRelay(box *Box, target batch.Importer, config RelayConfig) (*Relay, error) {
	if box == nil {
		return nil, invalid("box", "nil", "one that New made")
	}
	if target == nil {
		return nil, invalid("target", "nil", "an open driver")
	}
	for _, d := range []struct {
		name             string
		of               *time.Duration
		usual, low, high time.Duration
	}{
		{"Interval", &config.Interval, time.Second, 10 * time.Millisecond, time.Hour},
		{"Lease", &config.Lease, 15 * time.Second, time.Second, mostLease},
	} {
		if *d.of == 0 {
			*d.of = d.usual
		}
		if *d.of < d.low || *d.of > d.high {
			return nil, invalid(d.name, d.of.String(), d.low.String()+" to "+d.high.String())
		}
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	_, once := target.(driver.OnceImporter)
	return &Relay{box: box, target: target, config: config, once: once, wake: make(chan struct{}, 1), queues: make(map[string]*outlet), sent: make(map[int64]string)}, nil
}

// idle is the time between two looks: at the table, and whether the lease of another has ended.
func (r *Relay) idle() time.Duration { return min(r.config.Interval, r.config.Lease/4) }

// Wake makes the relay look at once: after the commit of a transaction that wrote jobs. It does not block, and may be
// called at any time, from any goroutine. A relay of another process does not notice.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Stats is what the relay has done so far. It may be called at any time.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// count changes the stats.
func (r *Relay) count(change func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.stats)
}

// note notes whether the relay can go on, and logs that once.
func (r *Relay) note(ctx context.Context, err error) {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	var before error
	r.count(func(s *Stats) { before, s.Err = s.Err, err })
	switch {
	case err != nil && (before == nil || reason(before) != reason(err)):
		r.config.Log.WarnContext(ctx, "outbox: the relay cannot go on, and tries again", "table", r.box.name.String(), "error", err)
	case err == nil && before != nil:
		r.config.Log.InfoContext(ctx, "outbox: the relay goes on", "table", r.box.name.String())
	}
}

// reason is the kind of an error, or its text if it has none.
func reason(err error) string {
	for _, kind := range []error{batch.ErrUnavailable, batch.ErrUnauthorized, batch.ErrFull, batch.ErrConfig, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return err.Error()
}

// pause waits for d, or until ctx ends or something comes from wake.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-wake:
	}
}
