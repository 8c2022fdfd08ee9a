package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch/idempotency"
)

func once(p *probe) {
	claim := p.begin("k", long, idempotency.Fresh)
	p.begin("k", long, idempotency.InProgress)
	p.is(p.store.Complete(p.Context(), claim, long), nil, "Complete")
	p.begin("k", long, idempotency.Done)
	p.begin("k", long, idempotency.Done)
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
	var claim idempotency.Claim
	for n, span := 0, short; ; n, span = n+1, 2*span {
		key := fmt.Sprint("k", n)
		ok := false
		if claim, ok = p.extends(key, span); ok {
			break
		}
		if span > late {
			p.Fatalf("calls take so long that a claim of %s cannot be renewed", span)
		}
	}
	p.is(p.store.Complete(p.Context(), claim, long), nil, "Complete")
	p.is(p.store.Extend(p.Context(), claim, short), idempotency.ErrLost, "Extend of a claim that is complete")
	if _, state, err := p.store.Begin(p.Context(), claim.Key, short); state != idempotency.Done || err != nil {
		p.Fatalf("the key is %s, want done; error %v", state, err)
	}
}

// extends renews a claim for two of its spans, and then for long. It returns false if a call took so long that
// the claim may have expired meanwhile.
func (p *probe) extends(key string, span time.Duration) (idempotency.Claim, bool) {
	p.Helper()
	tick := time.NewTicker(span / 5)
	defer tick.Stop()
	last := time.Now()
	claim := p.begin(key, span, idempotency.Fresh)
	for start := time.Now(); time.Since(start) < 2*span; <-tick.C {
		now := time.Now()
		err := p.store.Extend(p.Context(), claim, span)
		if time.Since(last) >= span {
			return claim, false
		}
		p.is(err, nil, "Extend")
		last = now
		_, state, err := p.store.Begin(p.Context(), p.prefix+key, long)
		if time.Since(last) >= span {
			return claim, false
		}
		if err != nil || state != idempotency.InProgress {
			p.Fatalf("the key is %s, want in progress; error %v", state, err)
		}
	}
	err := p.store.Extend(p.Context(), claim, long)
	if time.Since(last) >= span {
		return claim, false
	}
	p.is(err, nil, "Extend")
	return claim, true
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
	// Nor does it change for how long the key is done.
	claim = p.begin("brief", long, idempotency.Fresh)
	start := time.Now()
	p.is(p.store.Complete(p.Context(), claim, short), nil, "Complete")
	if err := p.store.Complete(p.Context(), claim, long); time.Since(start) < short {
		p.is(err, nil, "Complete again, for longer")
	}
	p.fresh("brief", long)
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
