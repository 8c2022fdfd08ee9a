package idempotency

import (
	"context"
	"math/rand/v2"
	"time"
)

// The bounds of the pause before a job that waits in place asks again. It is an eighth
// of the time that the job has waited, so that a short run is noticed soon and a long
// one costs few calls of the store.
const (
	leastPause = 10 * time.Millisecond
	mostPause  = time.Second
)

// begin asks the store for a key. A claim lasts until the time that is returned, at least: the TTL
// counts from before the question.
func (c *config) begin(ctx context.Context, key string) (claim Claim, until time.Time, state State, err error) {
	until = time.Now().Add(c.ttl)
	claim, state, err = c.store.Begin(ctx, key, c.ttl)
	return claim, until, state, err
}

// await asks for a key that another holds, again and again. The answer is InProgress if
// the time to wait in place is over or ctx has ended.
func (c *config) await(ctx context.Context, key string) (claim Claim, until time.Time, state State, err error) {
	start := time.Now()
	pause := time.NewTimer(leastPause)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return Claim{}, time.Time{}, InProgress, nil
		}
		claim, until, state, err = c.begin(ctx, key)
		waited := time.Since(start)
		switch {
		case err != nil && ctx.Err() != nil:
			return Claim{}, time.Time{}, InProgress, nil
		case err != nil || state != InProgress || waited >= c.inPlace:
			return claim, until, state, err
		}
		next := min(max(waited/8, leastPause), mostPause)
		next += rand.N(next / 2) // those that wait for one key do not ask together
		pause.Reset(min(next, c.inPlace-waited))
	}
}
