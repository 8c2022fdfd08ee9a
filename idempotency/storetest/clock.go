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

// clock uses a store in a process whose clock is many years behind and stands still. The true
// time is told by a goroutine outside of the bubble.
func clock(t *testing.T, prefix string, open func(t *testing.T) idempotency.Store) {
	times, stop := make(chan time.Time), make(chan struct{})
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
			case times <- time.Now():
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
		start := now(times)
		p.begin("short", short, idempotency.Fresh)
		p.freshAt(times, start, "short")
		p.is(p.store.Extend(p.Context(), held, long), nil, "Extend")
		p.begin("long", long, idempotency.InProgress)
		start = now(times)
		p.is(p.store.Complete(p.Context(), held, short), nil, "Complete")
		p.freshAt(times, start, "long")
	})
}

// now is the true time. What was told first is from before it was asked for.
func now(times <-chan time.Time) time.Time {
	<-times
	return <-times
}

// freshAt waits until the key is fresh, which was claimed or completed after the start for
// a short time.
func (p *probe) freshAt(times <-chan time.Time, start time.Time, key string) {
	p.Helper()
	for {
		_, state, err := p.store.Begin(p.Context(), p.prefix+key, long)
		took := now(times).Sub(start)
		switch {
		case err != nil:
			p.Fatalf("Begin: %v", err)
		case state == idempotency.Fresh && took < short:
			p.Fatalf("the key was fresh after %s, want %s", took, short)
		case state == idempotency.Fresh:
			return
		case took > short+late:
			p.Fatalf("the key is %s %s after it expired by the database's clock", state, late)
		}
	}
}
