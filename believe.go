package batch

import (
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// maxCount bounds the counts of a job's history. It is more than any job reaches, and one
// more is no overflow.
const maxCount = 1 << 30

// believe bounds what a delivery says of its job, in place. Another program may have
// written it, or a broker counted it. A number beyond its bound counts as the bound, and a
// time that nobody can mean as not set; so an absurd one is neither an attempt number below
// zero nor a job that is tried for ever.
func believe(d *driver.Delivery, now time.Time) {
	d.Failures = within(d.Failures, 0, maxCount)
	d.Bounces = within(d.Bounces, 0, maxCount)
	d.Deliveries = within(d.Deliveries, 1, maxCount)
	d.Redeliveries = within(d.Redeliveries, 0, maxCount)
	d.MaxAttempts = within(d.MaxAttempts, 0, maxMaxAttempts)
	if d.Timeout = within(d.Timeout, 0, maxTimeout); d.Timeout > 0 {
		d.Timeout = max(d.Timeout, minTimeout)
	}
	if !d.Level.Valid() {
		d.Level = Normal
	}
	if d.BouncedSince.After(now) { // by the clock of another worker
		d.BouncedSince = now.UTC().Truncate(time.Millisecond)
	}
	for _, t := range []*time.Time{&d.EnqueuedAt, &d.ExpiresAt, &d.BouncedSince} {
		if year := t.Year(); year < 1970 || year > 9999 {
			*t = time.Time{}
		}
	}
}

// within is n, or the bound that it is beyond.
func within[N int | time.Duration](n, least, most N) N { return min(max(n, least), most) }

// believeDepth bounds the counts of a queue: one that is no count and not
// [driver.UnknownCount] is unknown.
func believeDepth(d driver.Depth) driver.Depth {
	for _, n := range []*int64{&d.Waiting, &d.Scheduled, &d.Running, &d.Dead, &d.Due} {
		*n = max(*n, driver.UnknownCount)
	}
	d.Age = max(d.Age, driver.UnknownAge)
	return d
}

// answer is the driver's answer about number i of n things that a call was about, all of
// which succeeded if there are no answers.
func answer(errs []error, i, n int) error {
	switch {
	case errs == nil:
		return nil
	case i < len(errs):
		return errs[i]
	}
	return tooFew(len(errs), n)
}

// resultOf is answer for the results of an enqueue or an import.
func resultOf(results []driver.Result, i, n int) driver.Result {
	switch {
	case results == nil:
		return driver.Result{}
	case i < len(results):
		return results[i]
	}
	return driver.Result{Err: tooFew(len(results), n)}
}

// tooFew is the error for what a driver has not answered. Nothing is known of its fate.
func tooFew(got, want int) error {
	return fmt.Errorf("the driver has %d answers for %d: %w", got, want, ErrBroker)
}

// checkInfo refuses a driver whose limits are not set, with which the core would divide by
// zero or wait for ever.
func checkInfo(info *driver.Info) error {
	l := &info.Limits
	for name, limit := range map[string]int{
		"EnqueueBatch": l.EnqueueBatch, "EnqueueBytes": l.EnqueueBytes, "Publishers": l.Publishers, "ReceiveBatch": l.ReceiveBatch,
		"Receivers": l.Receivers, "SettleBatch": l.SettleBatch, "ExtendBatch": l.ExtendBatch,
	} {
		if limit < 1 {
			return invalid("driver", fmt.Sprintf("%s with Limits.%s of %d", info.Driver, name, limit), "one whose limits are set, to 1 at least")
		}
	}
	return nil
}
