package batch

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is the wait between tries of a call to the broker that failed: it
// doubles from 50 ms to 5 s. The randomness keeps the clients of a broker that
// comes back from arriving all at once. Retries of jobs wait as their
// [RetryPolicy] says.
type backoff struct{ failures int }

// next is how long to wait before the next try.
func (b *backoff) next() time.Duration {
	const base, limit = 50 * time.Millisecond, 5 * time.Second
	ceiling := min(base<<min(b.failures, 10), limit)
	b.failures++
	return ceiling/2 + rand.N(ceiling/2)
}

// wait sleeps until the next try and returns false if ctx ended first.
func (b *backoff) wait(ctx context.Context) bool { return sleep(ctx, b.next()) }

// sleep waits for d and returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
