package storetest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/idempotency"
)

// shared uses two stores of one database.
func shared(p *probe, other idempotency.Store) {
	claim := p.begin("k", long, idempotency.Fresh)
	another := &probe{T: p.T, store: other, prefix: p.prefix}
	another.begin("k", long, idempotency.InProgress)
	another.is(other.Extend(p.Context(), claim, long), nil, "Extend by another store")
	another.is(other.Abandon(p.Context(), claim), nil, "Abandon by another store")
	second := another.begin("k", long, idempotency.Fresh)
	p.greater(second, claim)
	p.is(p.store.Complete(p.Context(), claim, long), idempotency.ErrLost, "Complete of a claim that another store gave up")
	p.is(p.store.Complete(p.Context(), second, long), nil, "Complete by another store")
	another.begin("k", long, idempotency.Done)
}

// beat is how often what waits by the true time looks again.
const beat = 20 * time.Millisecond

// clock uses a store in a process whose clock is many years behind and stands still. What
// it waits for by the true time is told by a goroutine outside of the bubble.
func clock(t *testing.T, prefix string, open func(t *testing.T) idempotency.Store) {
	beats, stop := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			select {
			case beats <- struct{}{}:
			case <-stop:
				return
			}
		}
	}()
	defer func() {
		close(stop)
		<-ended
	}()
	synctest.Test(t, func(t *testing.T) {
		p := &probe{T: t, store: open(t), prefix: prefix}
		held := p.begin("long", long, idempotency.Fresh)
		p.begin("long", long, idempotency.InProgress)
		p.begin("short", short, idempotency.Fresh)
		p.freshAt(beats, "short")
		p.is(p.store.Extend(p.Context(), held, long), nil, "Extend")
		p.begin("long", long, idempotency.InProgress)
		p.is(p.store.Complete(p.Context(), held, short), nil, "Complete")
		p.begin("long", long, idempotency.Done)
		p.freshAt(beats, "long")
	})
}

// freshAt waits until the key is fresh, and looks at each beat.
func (p *probe) freshAt(beats <-chan struct{}, key string) {
	p.Helper()
	for n := 0; ; n++ {
		<-beats
		_, state, err := p.store.Begin(p.Context(), p.prefix+key, long)
		switch {
		case err != nil:
			p.Fatalf("Begin: %v", err)
		case state == idempotency.Fresh && n < int(short/beat)/2:
			p.Fatalf("the key was fresh after %d of %d ms", n*int(beat/time.Millisecond), short.Milliseconds())
		case state == idempotency.Fresh:
			return
		case n > int((short+late)/beat):
			p.Fatalf("the key is %s %s after it expired by the database's clock", state, late)
		}
	}
}
