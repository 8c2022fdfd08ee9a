package batch

import (
	"math/rand/v2"
	"time"
)

// RetryPolicy says how long to wait before a failed job is tried again. It is
// called concurrently.
type RetryPolicy interface {
	// Backoff is the delay after the handler failed for the failures-th time
	// (1 or more) with err. A negative delay counts as zero.
	Backoff(failures int, err error) time.Duration
}

// ExponentialBackoff waits for a random time between zero and a ceiling that doubles with
// each failure ("full jitter"). This spreads the retries of jobs that failed
// together, which with a fixed backoff would come back all at once.
type ExponentialBackoff struct {
	// Base is the ceiling after the first failure. Defaults to 1 s.
	Base time.Duration
	// Max bounds the ceiling. Defaults to 24 h.
	Max time.Duration
}

// DefaultRetryPolicy is what workers use by default. With 25 attempts the last one
// comes after about four days.
var DefaultRetryPolicy RetryPolicy = ExponentialBackoff{}

// Backoff draws the delay.
func (p ExponentialBackoff) Backoff(failures int, _ error) time.Duration {
	ceiling := p.ceiling(failures)
	return time.Duration(rand.Int64N(int64(ceiling))) + 1
}

// ceiling is the longest delay after this number of failures.
func (p ExponentialBackoff) ceiling(failures int) time.Duration {
	base, limit := p.Base, p.Max
	if base <= 0 {
		base = time.Second
	}
	if limit <= 0 {
		limit = 24 * time.Hour
	}
	ceiling := min(base, limit)
	for i := 1; i < failures && ceiling < limit; i++ {
		if ceiling > limit/2 {
			return limit
		}
		ceiling *= 2
	}
	return ceiling
}

// ConstantBackoff waits for the same time before each retry.
type ConstantBackoff time.Duration

// Backoff is the constant.
func (c ConstantBackoff) Backoff(int, error) time.Duration { return time.Duration(c) }

// RetryFunc is a function as a [RetryPolicy].
type RetryFunc func(failures int, err error) time.Duration

// Backoff calls the function.
func (f RetryFunc) Backoff(failures int, err error) time.Duration { return f(failures, err) }
