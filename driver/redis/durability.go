package redis

import (
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

const (
	defaultWaitTimeout = 2 * time.Second
	minWaitTimeout     = time.Millisecond
	maxWaitTimeout     = time.Minute
	// maxReplicas is more than a primary has.
	maxReplicas = 100
)

// durability is what a job must have reached before it counts as stored. The zero value is
// the memory of the primary, or what its own settings make of that.
type durability struct {
	replicas int
	aof      bool // the append-only file of the primary, and of those replicas
	timeout  time.Duration
}

// wanted tells whether there is anything to wait for.
func (w durability) wanted() bool { return w.replicas > 0 || w.aof }

// command is what waits for all that its connection has written before.
func (w durability) command() []any {
	if w.aof {
		return []any{"waitaof", 1, w.replicas, w.timeout.Milliseconds()}
	}
	return []any{"wait", w.replicas, w.timeout.Milliseconds()}
}

// notDurable says that what was written is on the primary, and not where it should be.
type notDurable struct {
	got, want int
	aof       bool // it is the primary's append-only file that is missing
}

// Error says so.
func (e notDurable) Error() string {
	if e.aof {
		return "the primary stored it, and its append-only file was not synced in time"
	}
	return fmt.Sprintf("the primary stored it, and %d of %d replicas have it", e.got, e.want)
}

// check reads the reply of the command.
func (w durability) check(raw []byte) error {
	r := reader{buf: raw}
	if w.aof && r.array() != 2 {
		r.malformed()
	}
	if w.aof && r.int() < 1 && r.err == nil {
		return notDurable{aof: true}
	}
	got := r.int()
	if r.err == nil && got < int64(w.replicas) {
		return notDurable{got: int(got), want: w.replicas}
	}
	return r.err
}

// isNotDurable tells that error, and what it means.
func isNotDurable(err error) (v fault.Verdict, ok bool) {
	var e notDurable
	if !errors.As(err, &e) {
		return v, false
	}
	return fault.Unknown(driver.ErrUnavailable, "is a replica down or slow? see wait_replicas, wait_aof and wait_timeout"), true
}
