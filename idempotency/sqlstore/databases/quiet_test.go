package databases

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/sqlstore"
)

// renewing is a store that counts renewals.
type renewing struct {
	*sqlstore.Store
	times atomic.Int32
}

func (r *renewing) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	r.times.Add(1)
	return r.Store.Extend(ctx, claim, ttl)
}

// keyOf gives every job one key.
func keyOf(key string) func(*batch.JobInfo) (string, error) {
	return func(*batch.JobInfo) (string, error) { return key, nil }
}

// No renewal falls into a transaction that takes less than a third of the TTL: under snapshot isolation it would fail.
func TestNoRenewalInTransaction(t *testing.T) {
	for _, d := range databases() {
		if !d.newest {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			table := tableOf(t)
			newStore(t, d.open(t, ""), d.dialect, table) // the server must run before the bubble
			synctest.Test(t, func(t *testing.T) {
				r := &renewing{Store: newStore(t, d.open(t, ""), d.dialect, table)}
				// Renewals are due after 10 and 20 seconds.
				for _, begins := range []time.Duration{0, 9 * time.Second, 15 * time.Second} {
					err := deliver(t, r, func(ctx context.Context) error {
						time.Sleep(begins)
						before := r.times.Load()
						return r.InTx(ctx, func(*sql.Tx) error {
							time.Sleep(9 * time.Second)
							if n := r.times.Load(); n != before {
								t.Errorf("a claim was renewed in a transaction that began after %s", begins)
							}
							return nil
						})
					}, idempotency.TTL(30*time.Second), idempotency.ByKey(keyOf(begins.String())))
					if err != nil {
						t.Errorf("a handler whose transaction began after %s ended with %v", begins, err)
					}
				}
			})
		})
	}
}
