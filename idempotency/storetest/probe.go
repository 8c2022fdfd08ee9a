package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
)

const (
	// long does not expire during a case. short does, but leaves a slow machine
	// time for a few calls before that.
	long  = time.Hour
	short = 500 * time.Millisecond
	// late is how long a store may take to notice that something has expired.
	late = 5 * time.Second
)

// probe is a store under test, with its own keys.
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

// is fails the test unless the error of a call is the one that is wanted.
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

// greater fails the test unless the second claim has the greater token.
func (p *probe) greater(second, first idempotency.Claim) {
	p.Helper()
	if second.Token <= first.Token {
		p.Fatalf("the token %d of a later claim is not greater than %d", second.Token, first.Token)
	}
}
