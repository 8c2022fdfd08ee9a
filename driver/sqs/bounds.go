package sqs

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// The bounds of what a message says. No program of this library writes beyond them.
const (
	// maxDelay is carried by copies, so nothing in SQS bounds it: ten years are
	// enough to tell a bug from a plan.
	maxDelay = 10 * 365 * 24 * time.Hour
	// maxCount is far beyond every count, and a sum of several still is a number.
	maxCount = 1 << 28
	// maxMillis is the longest duration, in ms.
	maxMillis = int64(maxDelay / time.Millisecond)
)

// readMeta reads the attribute's text. With an error it returns nothing of it, unless
// that is errNoKind, as what is no job is written as a dead letter.
func readMeta(text string) (meta, error) {
	var d meta
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return meta{}, fmt.Errorf("the attribute %s is not readable: %w", attributeName, err)
	}
	if d.ContentType == "" {
		d.ContentType = defaultContentType
	}
	if d.Version != formatVersion {
		return meta{}, fmt.Errorf("%w: version %d", errVersion, d.Version)
	}
	if err := d.check(); err != nil {
		return meta{}, err
	}
	if d.Kind == "" {
		return d, errNoKind
	}
	return d, nil
}

// check refuses what is out of bounds: a number that is added to others later, or a
// name that others rely on.
func (d *meta) check() error {
	for _, n := range [...]struct {
		name             string
		value, low, high int64
	}{
		{"attempts", int64(d.MaxAttempts), 0, maxCount}, {"timeout", d.Timeout, 0, maxMillis},
		{"delay", d.Delay, 0, maxMillis}, {"due", d.Due, 0, wire.MaxTime},
		{"failures", int64(d.Failures), 0, maxCount}, {"bounces", int64(d.Bounces), 0, maxCount},
		{"deliveries", int64(d.Deliveries), 0, maxCount}, {"lost", int64(d.Lost), 0, maxCount},
		{"bounced", d.Bounced, wire.MinTime, wire.MaxTime}, {"died", d.Died, wire.MinTime, wire.MaxTime},
		{"at", valueOf(d.EnqueuedAt), wire.MinTime, wire.MaxTime}, {"expires", valueOf(d.ExpiresAt), wire.MinTime, wire.MaxTime},
	} {
		if n.value < n.low || n.value > n.high {
			return fmt.Errorf("the attribute %s says %s %d, which is not between %d and %d", attributeName, n.name, n.value, n.low, n.high)
		}
	}
	switch {
	case d.ID != "" && !wire.IsToken(d.ID):
		return errors.New("the attribute " + attributeName + " has an id that is not 1 to 128 bytes of printable ASCII without spaces")
	case d.Kind != "" && !wire.IsToken(d.Kind):
		return errors.New("the attribute " + attributeName + " has a kind that is not 1 to 128 bytes of printable ASCII without spaces")
	case !wire.IsMediaType(d.ContentType):
		return errors.New("the attribute " + attributeName + " has a type that is not 1 to 128 bytes of printable ASCII")
	}
	return nil
}

// valueOf is what p points to, and 0 without one.
func valueOf(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}

// bounded is a count of the server's.
func bounded(n int64) int { return int(min(max(n, 0), maxCount)) }

// add adds counts, one of which may be driver.UnknownCount: then so is the sum.
func add(a, b int64) int64 {
	if a == driver.UnknownCount || b == driver.UnknownCount {
		return driver.UnknownCount
	}
	return a + b
}
