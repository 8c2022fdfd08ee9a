package idempotency_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/idempotency"
)

// remembered is what the model of a store knows of a key.
type remembered struct {
	claim idempotency.Claim
	done  bool
	until time.Time
}

// TestMemoryIsItsModel does at random what workers do with a store, and compares each answer
// with that of a map that forgets what has expired.
func TestMemoryIsItsModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	synctest.Test(t, func(t *testing.T) {
		m := idempotency.NewMemory(0)
		model := make(map[string]*remembered)
		var last uint64
		for step := range 20_000 {
			for key, k := range model {
				if !time.Now().Before(k.until) {
					delete(model, key)
				}
			}
			key := fmt.Sprint("key-", r.IntN(40))
			d := time.Duration(1+r.IntN(60)) * time.Second
			k := model[key]
			claim := idempotency.Claim{Key: key, Token: last + 1} // of nobody
			if k != nil && r.IntN(10) > 0 {
				claim = k.claim
			}
			held := k != nil && k.claim == claim
			switch r.IntN(6) {
			case 0, 1:
				got, state, err := m.Begin(t.Context(), key, d)
				want := idempotency.Fresh
				if k != nil {
					want = map[bool]idempotency.State{true: idempotency.Done, false: idempotency.InProgress}[k.done]
				}
				if err != nil || state != want || state == idempotency.Fresh && got.Token <= last {
					t.Fatalf("step %d: Begin = %+v, %s, %v after token %d, want %s", step, got, state, err, last, want)
				}
				if state == idempotency.Fresh {
					last = got.Token
					model[key] = &remembered{claim: got, until: time.Now().Add(d)}
				}
			case 2:
				err := m.Extend(t.Context(), claim, d)
				if ok := held && !k.done; (err == nil) != ok {
					t.Fatalf("step %d: Extend = %v, want success %v", step, err, ok)
				} else if ok {
					k.until = time.Now().Add(d)
				}
			case 3:
				err := m.Complete(t.Context(), claim, d)
				if (err == nil) != held {
					t.Fatalf("step %d: Complete = %v, want success %v", step, err, held)
				} else if held && !k.done { // completing twice changes nothing
					k.done, k.until = true, time.Now().Add(d)
				}
			case 4:
				if err := m.Abandon(t.Context(), claim); err != nil {
					t.Fatalf("step %d: Abandon = %v", step, err)
				} else if held && !k.done {
					delete(model, key)
				}
			case 5:
				time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond)
				continue // what has expired is forgotten first
			}
			if m.Len() != len(model) {
				t.Fatalf("step %d: %d keys, want %d", step, m.Len(), len(model))
			}
		}
	})
}
