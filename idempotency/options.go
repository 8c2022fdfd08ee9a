package idempotency

import (
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
)

// Option configures a [Middleware].
type Option struct {
	apply func(*config) error
}

// config is what the options set.
type config struct {
	store     Store
	key       func(*batch.JobInfo) (string, error)
	ttl       time.Duration
	retention time.Duration
	wait      time.Duration
	inPlace   time.Duration
}

// ByKey derives the key from the job, for example from a header or from
// JobInfo.DecodedArgs, instead of using the job's ID. Jobs with the same key then
// have one effect, that of the first. If key returns an error or an empty key, the
// job fails without running.
func ByKey(key func(*batch.JobInfo) (string, error)) Option {
	return Option{func(c *config) error {
		if key == nil {
			return errors.New("idempotency: ByKey needs a function")
		}
		c.key = key
		return nil
	}}
}

// TTL is how long a claim lives without being renewed: 10 ms to 24 h. That is how
// long the job of a worker that died waits until another worker can run it. Claims
// are renewed at a third of their TTL, which counts from before the store is asked: a
// job fails without running if the answer takes longer. Defaults to 30 s.
func TTL(d time.Duration) Option {
	return duration("TTL", d, 10*time.Millisecond, 24*time.Hour, func(c *config) { c.ttl = d })
}

// Retention is how long the store remembers that a key is done: a second to ten
// years. It must be longer than the time in which a duplicate can arrive, including
// all retries and dead letters that are redriven. Defaults to 7 days.
func Retention(d time.Duration) Option {
	return duration("Retention", d, time.Second, 10*365*24*time.Hour, func(c *config) { c.retention = d })
}

// Wait is the delay after which a job comes back if another worker holds its key:
// 1 ms to an hour. Defaults to a second.
func Wait(d time.Duration) Option {
	return duration("Wait", d, time.Millisecond, time.Hour, func(c *config) { c.wait = d })
}

// WaitInPlace makes a job whose key another worker holds wait for up to d, 1 ms to an
// hour, before it goes back to the broker for the time of [Wait]. It then runs, or is
// skipped as done, at most a quarter of its waiting later than the other has ended,
// and a second and a half at most: the store is asked again and again, less often with
// time. While it waits it holds a slot of its worker, and its timeout runs. It goes back
// at once when its context ends. Without this option a job does not wait in place.
func WaitInPlace(d time.Duration) Option {
	return duration("WaitInPlace", d, time.Millisecond, time.Hour, func(c *config) { c.inPlace = d })
}

// duration is an option that sets a duration within bounds.
func duration(name string, d, least, most time.Duration, set func(*config)) Option {
	return Option{func(c *config) error {
		if d < least || d > most {
			return fmt.Errorf("idempotency: %s is %s: must be %s to %s", name, d, least, most)
		}
		set(c)
		return nil
	}}
}
