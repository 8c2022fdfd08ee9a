package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/sqlstore"
)

// holder is who has a key, as those know it who were told so.
type holder struct {
	mu    sync.Mutex // guards following
	token uint64     // of the one that holds it now, or 0
	last  uint64
	done  bool
}

// undo notes that a key is not done, as a transaction has failed that was to complete it.
func (h *holder) undo(claim idempotency.Claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.token, h.done = claim.Token, false
}

// contest is many goroutines at few keys, whose names are neighbours in every index.
type contest struct {
	t     *testing.T
	store *sqlstore.Store
	db    *sql.DB
	keys  []holder
	// fails is set if a transaction may fail because of others.
	fails bool
}

// take notes that somebody got a key.
func (c *contest) take(n int, claim idempotency.Claim) {
	h := &c.keys[n]
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.token != 0 || h.done {
		c.t.Errorf("key %d was given to the claim %d, and it is held by %d, done: %t", n, claim.Token, h.token, h.done)
	}
	if claim.Token <= h.last {
		c.t.Errorf("key %d has the token %d after %d", n, claim.Token, h.last)
	}
	h.token, h.last = claim.Token, claim.Token
}

// leave notes that the holder is about to give the key up, or to complete it.
func (c *contest) leave(n int, done bool) {
	h := &c.keys[n]
	h.mu.Lock()
	defer h.mu.Unlock()
	h.token, h.done = 0, done
}

// round claims a key and ends the claim in one of the ways that there are.
func (c *contest) round(ctx context.Context, rng *rand.Rand) error {
	n := rng.IntN(len(c.keys))
	claim, state, err := c.store.Begin(ctx, fmt.Sprintf("key-%03d", n), time.Hour)
	if err != nil || state != idempotency.Fresh {
		return err
	}
	c.take(n, claim)
	switch rng.IntN(12) {
	case 0:
		c.leave(n, true)
		return c.store.Complete(ctx, claim, time.Hour)
	case 1:
		if done, err := c.transact(ctx, n, claim, rng.IntN(2) == 0); done || err != nil {
			return err
		}
	case 2:
		c.leave(n, false)
		if err := c.store.Extend(ctx, claim, 20*time.Millisecond); err != nil {
			return err
		}
		return nil // and let it expire
	default:
		if err := c.store.Extend(ctx, claim, time.Hour); err != nil {
			return err
		}
	}
	c.leave(n, false)
	return c.store.Abandon(ctx, claim)
}

// transact completes the claim in a transaction, and tells whether it was committed.
func (c *contest) transact(ctx context.Context, n int, claim idempotency.Claim, commits bool) (done bool, err error) {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	err = c.store.CompleteTx(ctx, tx, claim, time.Hour)
	if err == nil && commits {
		c.leave(n, true)
		if err = tx.Commit(); err == nil || !c.fails {
			return true, err
		}
		c.keys[n].undo(claim)
		return false, nil
	}
	if c.fails && !errors.Is(err, idempotency.ErrLost) {
		err = nil
	}
	return false, errors.Join(err, tx.Rollback())
}

// No deadlock and no serialization failure reaches a caller, and nobody gets what another has, however keys are claimed
// beside each other and the table is cleaned.
func TestContest(t *testing.T) {
	strict := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "default_transaction_isolation=serializable", sqlstore.MySQL: "tx_isolation=%27SERIALIZABLE%27", sqlstore.SQLite: "_txlock=immediate",
	}
	for _, d := range databases() {
		if !d.newest {
			continue
		}
		for name, parameters := range map[string]string{"default": "", "strict": strict[d.dialect]} {
			t.Run(d.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				db := d.open(t, parameters)
				c := &contest{t: t, store: newStore(t, db, d.dialect, tableOf(t)), db: db, keys: make([]holder, 60), fails: name == "strict"}
				c.run()
			})
		}
	}
}

// run has goroutines claim keys, and one that cleans.
func (c *contest) run() {
	seed := rand.Uint64()
	c.t.Logf("seed %d", seed)
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*bound)
	defer cancel()
	var all sync.WaitGroup
	for worker := range 12 {
		rng := rand.New(rand.NewPCG(seed, uint64(worker)))
		all.Go(func() {
			for range 40 {
				if err := c.round(ctx, rng); err != nil {
					c.t.Errorf("worker %d: %v", worker, err)
					return
				}
			}
		})
	}
	all.Go(func() {
		for range 20 {
			if _, err := c.store.Sweep(ctx); err != nil {
				c.t.Errorf("sweep: %v", err)
			}
		}
	})
	all.Wait()
}
