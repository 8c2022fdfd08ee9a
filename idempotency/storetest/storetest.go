// Package storetest checks implementations of idempotency.Store. The author of
// one calls [Run] from a test:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) idempotency.Store { return open(t) })
//	}
package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
)

const (
	// long does not expire during a case; short does, and gives a slow machine
	// time to make a few calls before.
	long  = time.Hour
	short = 500 * time.Millisecond
	// late is how long a store may take to see that something has expired.
	late = 5 * time.Second
)

// Run checks every rule of the store's contract, each in a subtest on a store
// that open makes. Stores may share what they are on.
func Run(t *testing.T, open func(t *testing.T) idempotency.Store) {
	for _, c := range []struct {
		name, rule string
		run        func(*probe)
	}{
		{"once", "a key is fresh once, in progress until it is done, and then done", once},
		{"keys", "keys are independent, whatever bytes they are", keys},
		{"abandon", "a claim that is given up makes the key fresh, with a greater token", abandon},
		{"expiry", "a claim that is not renewed expires, with a greater token for the next", expiry},
		{"extend", "a claim that is renewed does not expire", extend},
		{"retention", "a key that is done is fresh again after its retention, with a greater token", retention},
		{"fencing", "a claim that was lost changes nothing of the next one", fencing},
		{"complete-again", "completing a claim that is complete is a no-op", completeAgain},
		{"concurrent", "of many concurrent calls one gets the claim", concurrent},
		{"context", "a call whose context has ended returns its error and changes nothing", ended},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Log("rule: " + c.rule)
				}
			})
			c.run(&probe{T: t, store: open(t), prefix: t.Name() + time.Now().Format(time.RFC3339Nano)})
		})
	}
}

// probe is a store under test, with keys of its own.
type probe struct {
	*testing.T
	store  idempotency.Store
	prefix string
}

// begin fails the test unless the key is in the state that is wanted.
func (p *probe) begin(key string, ttl time.Duration, want idempotency.State) idempotency.Claim {
	p.Helper()
	claim, state, err := p.store.Begin(p.Context(), p.prefix+key, ttl)
	switch {
	case err != nil:
		p.Fatalf("Begin: %v", err)
	case state != want:
		p.Fatalf("the key is %s, want %s", state, want)
	case (state == idempotency.Fresh) != (claim.Token != 0):
		p.Fatalf("the token is %d for a key that is %s", claim.Token, state)
	case state == idempotency.Fresh && claim.Key != p.prefix+key:
		p.Fatalf("the claim's key is %q, want %q", claim.Key, p.prefix+key)
	}
	return claim
}

// is fails the test unless err is the one that is wanted.
func (p *probe) is(err, want error, what string) {
	p.Helper()
	if !errors.Is(err, want) {
		p.Fatalf("%s: the error is %v, want %v", what, err, want)
	}
}

// fresh waits until the key is fresh and returns the claim.
func (p *probe) fresh(key string, ttl time.Duration) idempotency.Claim {
	p.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(short + late); ; {
		claim, state, err := p.store.Begin(p.Context(), p.prefix+key, ttl)
		if err != nil {
			p.Fatalf("Begin: %v", err)
		}
		if state == idempotency.Fresh {
			return claim
		}
		if time.Now().After(deadline) {
			p.Fatalf("the key is %s %s after it expired", state, late)
		}
		<-tick.C
	}
}

func once(p *probe) {
	claim := p.begin("k", long, idempotency.Fresh)
	p.begin("k", long, idempotency.InProgress)
	p.is(p.store.Complete(p.Context(), claim, long), nil, "Complete")
	p.begin("k", long, idempotency.Done)
	p.begin("k", long, idempotency.Done)
}

func keys(p *probe) {
	list := []string{"k", "K", "k ", " k", "k\x00", "\xff\xfe", "k/1", "k:1", "k*", "'; --", "\r\n", strings.Repeat("k", 200)}
	claims := make(map[string]idempotency.Claim)
	for _, key := range list {
		claims[key] = p.begin(key, long, idempotency.Fresh)
	}
	for i, key := range list {
		if i%2 == 0 {
			p.is(p.store.Complete(p.Context(), claims[key], long), nil, "Complete")
		}
	}
	for i, key := range list {
		want := idempotency.InProgress
		if i%2 == 0 {
			want = idempotency.Done
		}
		p.begin(key, long, want)
	}
}

func abandon(p *probe) {
	first := p.begin("k", long, idempotency.Fresh)
	for range 2 {
		p.is(p.store.Abandon(p.Context(), first), nil, "Abandon")
	}
	p.is(p.store.Complete(p.Context(), first, long), idempotency.ErrLost, "Complete after Abandon")
	second := p.begin("k", long, idempotency.Fresh)
	p.greater(second, first)
}

// greater fails the test unless the second claim has the greater token.
func (p *probe) greater(second, first idempotency.Claim) {
	p.Helper()
	if second.Token <= first.Token {
		p.Fatalf("the token %d of a later claim is not greater than %d", second.Token, first.Token)
	}
}

func expiry(p *probe) {
	start := time.Now()
	first := p.begin("k", short, idempotency.Fresh)
	second := p.fresh("k", long)
	if took := time.Since(start); took < short {
		p.Fatalf("a claim for %s was over after %s", short, took)
	}
	p.greater(second, first)
}

func extend(p *probe) {
	claim := p.begin("k", short, idempotency.Fresh)
	tick := time.NewTicker(short / 5)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < 2*short; <-tick.C {
		p.is(p.store.Extend(p.Context(), claim, short), nil, "Extend")
		p.begin("k", short, idempotency.InProgress)
	}
	p.is(p.store.Complete(p.Context(), claim, long), nil, "Complete")
	p.is(p.store.Extend(p.Context(), claim, short), idempotency.ErrLost, "Extend of a claim that is complete")
	p.begin("k", short, idempotency.Done)
}

func retention(p *probe) {
	first := p.begin("k", long, idempotency.Fresh)
	start := time.Now()
	p.is(p.store.Complete(p.Context(), first, short), nil, "Complete")
	second := p.fresh("k", long)
	if took := time.Since(start); took < short {
		p.Fatalf("a key that was done for %s was fresh after %s", short, took)
	}
	p.greater(second, first)
}

func fencing(p *probe) {
	first := p.begin("k", short, idempotency.Fresh)
	second := p.fresh("k", long)
	p.is(p.store.Extend(p.Context(), first, long), idempotency.ErrLost, "Extend of a lost claim")
	p.is(p.store.Complete(p.Context(), first, long), idempotency.ErrLost, "Complete of a lost claim")
	p.is(p.store.Abandon(p.Context(), first), nil, "Abandon of a lost claim")
	p.begin("k", long, idempotency.InProgress)
	p.is(p.store.Complete(p.Context(), second, long), nil, "Complete")
	p.is(p.store.Abandon(p.Context(), first), nil, "Abandon of a lost claim")
	p.is(p.store.Abandon(p.Context(), second), nil, "Abandon of a claim that is complete")
	p.begin("k", long, idempotency.Done)
}

func completeAgain(p *probe) {
	claim := p.begin("k", long, idempotency.Fresh)
	for range 3 {
		p.is(p.store.Complete(p.Context(), claim, long), nil, "Complete")
	}
	p.begin("k", long, idempotency.Done)
}

func concurrent(p *probe) {
	const callers = 32
	results := make(chan idempotency.State, callers)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			_, state, err := p.store.Begin(p.Context(), p.prefix+"k", long)
			if err != nil {
				p.Errorf("Begin: %v", err)
			}
			results <- state
		})
	}
	all.Wait()
	close(results)
	fresh := 0
	for state := range results {
		if state == idempotency.Fresh {
			fresh++
		}
	}
	if fresh != 1 {
		p.Fatalf("%d of %d concurrent calls got the claim", fresh, callers)
	}
}

func ended(p *probe) {
	ctx, cancel := context.WithCancel(p.Context())
	cancel()
	_, _, err := p.store.Begin(ctx, p.prefix+"k", long)
	p.is(err, context.Canceled, "Begin")
	claim := p.begin("k", long, idempotency.Fresh)
	p.is(p.store.Extend(ctx, claim, short), context.Canceled, "Extend")
	p.is(p.store.Complete(ctx, claim, long), context.Canceled, "Complete")
	p.is(p.store.Abandon(ctx, claim), context.Canceled, "Abandon")
	p.begin("k", long, idempotency.InProgress)
}
