package batch

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause is a backoff with jitter between tries of something that failed: 50 ms
// to 5 s. The jitter keeps the clients of a broker that comes back from arriving
// as one.
type pause struct{ failures int }

func (b *pause) next() time.Duration {
	const base, limit = 50 * time.Millisecond, 5 * time.Second
	ceiling := min(base<<min(b.failures, 10), limit)
	b.failures++
	return ceiling/2 + rand.N(ceiling/2)
}

// wait sleeps for the next pause and returns false if ctx ended first.
func (b *pause) wait(ctx context.Context) bool { return sleep(ctx, b.next()) }

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
