package move_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/leak"
)

// TestMain fails the run if a goroutine is left.
func TestMain(m *testing.M) { leak.Main(m) }

// errKilled is what a mover sees that is dead: nothing of it counts any more.
var errKilled = &driver.Error{Driver: "test", Op: "any", Kind: driver.ErrUnauthorized, Err: errors.New("killed")}

// gate lets calls through until the one that kills: then the mover is dead, as after kill -9.
type gate struct {
	mu    sync.Mutex
	calls int
	at    int  // the call that kills, from 1; 0 for none
	after bool // whether that call is carried out
	dead  bool
	fault func(call int) (before, after error) // nil for none
}

// do carries out a call, or tells why not.
func (g *gate) do(effect func()) error {
	g.mu.Lock()
	g.calls++
	call, now := g.calls, g.calls == g.at
	was := g.dead
	g.dead = g.dead || now
	g.mu.Unlock()
	switch {
	case was:
		return errKilled
	case now:
		if g.after {
			effect()
		}
		return errKilled
	case g.fault != nil:
		before, after := g.fault(call)
		if before == nil {
			effect()
			return after
		}
		return before
	}
	effect()
	return nil
}

// killed tells whether the gate has killed.
func (g *gate) killed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dead
}

// rigged is a handle on the memory broker with a gate in front of it.
type rigged struct {
	*memory.Driver
	gate *gate
}

// all gives an error to each of n.
func all(n int, err error) []driver.Result {
	results := make([]driver.Result, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}

func (r *rigged) Import(ctx context.Context, queue string, entries []*driver.Entry) (results []driver.Result) {
	if err := r.gate.do(func() { results = r.Driver.Import(ctx, queue, entries) }); err != nil {
		return all(len(entries), err)
	}
	return results
}

func (r *rigged) ForgetImports(ctx context.Context, queue string, keys []string) (err error) {
	return errors.Join(r.gate.do(func() { err = r.Driver.ForgetImports(ctx, queue, keys) }), err)
}

func (r *rigged) DeadLetters(ctx context.Context, queue, cursor string, max int) (page []driver.DeadLetter, next string, err error) {
	if killed := r.gate.do(func() { page, next, err = r.Driver.DeadLetters(ctx, queue, cursor, max) }); killed != nil {
		return nil, "", killed
	}
	return page, next, err
}

func (r *rigged) Discard(ctx context.Context, queue string, which driver.Selection) (n int, err error) {
	if killed := r.gate.do(func() { n, err = r.Driver.Discard(ctx, queue, which) }); killed != nil {
		return 0, killed
	}
	return n, err
}

func (r *rigged) List(ctx context.Context, queue string, state driver.State, cursor string, max int) (page []driver.Entry, next string, err error) {
	if killed := r.gate.do(func() { page, next, err = r.Driver.List(ctx, queue, state, cursor, max) }); killed != nil {
		return nil, "", killed
	}
	return page, next, err
}

func (r *rigged) Find(ctx context.Context, queue, id string) (e driver.Entry, err error) {
	if killed := r.gate.do(func() { e, err = r.Driver.Find(ctx, queue, id) }); killed != nil {
		return driver.Entry{}, killed
	}
	return e, err
}

func (r *rigged) Delete(ctx context.Context, queue, id string) (err error) {
	if killed := r.gate.do(func() { err = r.Driver.Delete(ctx, queue, id) }); killed != nil {
		return killed
	}
	return err
}

func (r *rigged) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (c driver.Consumer, err error) {
	if killed := r.gate.do(func() { c, err = r.Driver.Consume(ctx, queue, options) }); killed != nil || err != nil {
		return nil, errors.Join(killed, err)
	}
	return &riggedConsumer{c, r.gate}, nil
}

// riggedConsumer is a consumer with the gate in front of it.
type riggedConsumer struct {
	driver.Consumer
	gate *gate
}

func (r *riggedConsumer) Receive(ctx context.Context, max int) (deliveries []*driver.Delivery, err error) {
	if killed := r.gate.do(func() { deliveries, err = r.Consumer.Receive(ctx, max) }); killed != nil {
		return nil, killed
	}
	return deliveries, err
}

func (r *riggedConsumer) Settle(ctx context.Context, settlements []driver.Settlement) (errs []error) {
	if killed := r.gate.do(func() { errs = r.Consumer.Settle(ctx, settlements) }); killed != nil {
		return each(len(settlements), killed)
	}
	return errs
}

func (r *riggedConsumer) Extend(ctx context.Context, deliveries []*driver.Delivery) (errs []error) {
	if killed := r.gate.do(func() { errs = r.Consumer.Extend(ctx, deliveries) }); killed != nil {
		return each(len(deliveries), killed)
	}
	return errs
}

func (r *riggedConsumer) Stop(ctx context.Context) (err error) {
	return errors.Join(r.gate.do(func() { err = r.Consumer.Stop(ctx) }), err)
}

// each gives an error to each of n.
func each(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// plain is a broker that can store jobs, and nothing more: no capability, and no memory of keys.
type plain struct {
	driver.Driver
	driver.Importer
}

// inspected is plain with a look inside, and groups and all else that jobs have.
type inspected struct {
	plain
	driver.Inspector
	driver.Grouper
	driver.Prioritizer
	driver.Deduplicator
}

// plainOf hides what a driver can do.
func plainOf(d batch.Importer) plain { return plain{d, d} }

// inspectedOf hides that a driver remembers keys.
func inspectedOf(d interface {
	batch.Importer
	driver.Inspector
	driver.Grouper
	driver.Prioritizer
	driver.Deduplicator
}) inspected {
	return inspected{plainOf(d), d, d, d, d}
}

// faultsOf makes one call in eight fail: before it is carried out, or afterwards, when nobody knows.
func faultsOf(seed uint64) func(int) (before, after error) {
	random := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	return func(int) (error, error) {
		mu.Lock()
		defer mu.Unlock()
		switch random.IntN(16) {
		case 0:
			return &driver.Error{Driver: "test", Op: "any", Kind: driver.ErrUnavailable, Fate: driver.FateNotStored}, nil
		case 1:
			return nil, &driver.Error{Driver: "test", Op: "any", Kind: driver.ErrUnavailable, Fate: driver.FateUnknown}
		}
		return nil, nil
	}
}
