package lifecycle

import (
	"context"
	"sync"
)

// Gate counts what is under way, calls or goroutines, and lets nothing in any
// more once it is shut. The zero value is open. Its methods may be called
// concurrently.
type Gate struct {
	mu       sync.Mutex // guards following
	shut     bool
	underWay sync.WaitGroup // Add only while not shut
}

// Enter counts one as under way until Exit; false says that the gate is shut.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.underWay.Add(1)
	return true
}

// Exit ends what Enter began.
func (g *Gate) Exit() { g.underWay.Done() }

// Go runs f on a goroutine that counts as under way; false says that the gate is
// shut, and f does not run.
func (g *Gate) Go(f func()) bool {
	if !g.Enter() {
		return false
	}
	go func() {
		defer g.Exit()
		f()
	}()
	return true
}

// Shut lets nothing in any more.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// IsShut tells whether Shut was called.
func (g *Gate) IsShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// Wait waits until nothing is under way behind a gate that is shut. It returns
// ctx's error if that ends first: then the goroutine that waits goes on until
// nothing is.
func (g *Gate) Wait(ctx context.Context) error {
	idle := make(chan struct{})
	go func() {
		g.underWay.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WaitAll is Wait without an end, for after everything was cut off.
func (g *Gate) WaitAll() { g.underWay.Wait() }
