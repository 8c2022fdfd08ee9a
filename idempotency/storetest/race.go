package storetest

import (
	"sync"
	"time"

	"github.com/batch-go/batch/idempotency"
)

// tokens claims a key many times, and ends each claim in another way.
func tokens(p *probe) {
	last := p.begin("k", long, idempotency.Fresh)
	next := func(claim idempotency.Claim) {
		p.Helper()
		p.greater(claim, last)
		last = claim
	}
	for range 3 {
		for range 4 {
			p.is(p.store.Abandon(p.Context(), last), nil, "Abandon")
			next(p.begin("k", long, idempotency.Fresh))
		}
		p.is(p.store.Complete(p.Context(), last, short/5), nil, "Complete")
		next(p.fresh("k", short/5))
		next(p.fresh("k", long))
	}
}

func concurrent(p *probe) {
	p.oneOf("k")
}

// callers is how many calls are made at once.
const callers = 32

// oneOf fails the test unless one of many concurrent calls claims the key.
func (p *probe) oneOf(key string) {
	p.Helper()
	results := make(chan idempotency.State, callers)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			_, state, err := p.store.Begin(p.Context(), p.prefix+key, long)
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

func takeover(p *probe) {
	p.is(p.store.Abandon(p.Context(), p.begin("given up", long, idempotency.Fresh)), nil, "Abandon")
	p.oneOf("given up")
	p.begin("expired", short, idempotency.Fresh)
	done := p.begin("done", long, idempotency.Fresh)
	p.is(p.store.Complete(p.Context(), done, short), nil, "Complete")
	over := time.NewTimer(short + short/2)
	defer over.Stop()
	<-over.C
	p.oneOf("expired")
	p.oneOf("done")
}

// holders is who has a key, as those know it who were told so.
type holders struct {
	mu    sync.Mutex // guards following
	holds bool
	last  uint64
	times int
}

func race(p *probe) {
	const racers, times = 8, 60
	var h holders
	deadline := time.Now().Add(30 * time.Second)
	var all sync.WaitGroup
	for range racers {
		all.Go(func() {
			for p.raced(&h) < times && !p.Failed() {
				if time.Now().After(deadline) {
					p.Errorf("the key was not claimed %d times in 30 s", times)
				}
			}
		})
	}
	all.Wait()
}

// raced claims the key, gives it up if it got it, and returns how often it was claimed.
func (p *probe) raced(h *holders) int {
	claim, state, err := p.store.Begin(p.Context(), p.prefix+"k", long)
	if err != nil {
		p.Errorf("Begin: %v", err)
	}
	if state != idempotency.Fresh {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.times
	}
	h.mu.Lock()
	if h.holds {
		p.Error("two hold the key")
	}
	if claim.Token <= h.last {
		p.Errorf("the token %d of a later claim is not greater than %d", claim.Token, h.last)
	}
	h.holds, h.last = true, claim.Token
	h.times++
	h.mu.Unlock()
	if err := p.store.Extend(p.Context(), claim, long); err != nil {
		p.Errorf("Extend of a claim that is held: %v", err)
	}
	h.mu.Lock()
	h.holds = false
	n := h.times
	h.mu.Unlock()
	if err := p.store.Abandon(p.Context(), claim); err != nil {
		p.Errorf("Abandon: %v", err)
	}
	return n
}
