package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
)

// consumer is a consumer that only closes.
type consumer struct {
	driver.Consumer
	handle *lifecycle.Handle
	closed bool
}

// Close detaches, as the consumers of drivers do, and uses the handle meanwhile.
func (c *consumer) Close(ctx context.Context) error {
	if err := c.handle.Begin(ctx); err != nil {
		return err
	}
	defer c.handle.End()
	c.closed = true
	c.handle.Detach(c)
	return nil
}

func TestHandleCloseWaitsForCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h lifecycle.Handle
		c := &consumer{handle: &h}
		if !h.Attach(c) {
			t.Fatal("an open handle takes no consumer")
		}
		if err := h.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		cut, done := false, make(chan error)
		go func() { done <- h.Close(t.Context(), func() bool { cut = true; return true }) }()
		synctest.Wait()
		if !c.closed {
			t.Error("the consumer was not closed before the calls had ended")
		}
		if cut {
			t.Error("the connection was cut under a call")
		}
		if err := h.Begin(t.Context()); err != driver.ErrClosed {
			t.Errorf("a call after Close: %v, want %v", err, driver.ErrClosed)
		}
		if h.Attach(c) {
			t.Error("a closed handle takes a consumer")
		}
		second := make(chan error)
		go func() { second <- h.Close(t.Context(), func() bool { t.Error("closed twice"); return true }) }()
		synctest.Wait()
		select {
		case <-second:
			t.Error("the second Close did not wait for the first")
		default:
		}
		h.End()
		if err := <-done; err != nil || !cut {
			t.Errorf("Close: %v, cut: %v", err, cut)
		}
		if err := <-second; err != nil {
			t.Error(err)
		}
	})
}

func TestHandleCloseCutsCallsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h lifecycle.Handle
		if err := h.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		connection := make(chan struct{})
		go func() {
			<-connection
			h.End()
		}()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := h.Close(ctx, func() bool { close(connection); return true })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Close that cut a call off: %v", err)
		}
	})
}

// A connection that is not the driver's to close leaves calls under way.
func TestHandleCloseLeavesForeignConnection(t *testing.T) {
	var h lifecycle.Handle
	if err := h.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	h.End()
}

func TestHandleBeginOnEndedContext(t *testing.T) {
	var h lifecycle.Handle
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := h.Begin(ctx)
	var before fault.NotSent
	if !errors.As(err, &before) || !errors.Is(err, context.Canceled) {
		t.Errorf("Begin on a ctx that ended: %#v", err)
	}
	if err := h.Close(t.Context(), func() bool { return true }); err != nil {
		t.Errorf("Close after a call that did not begin: %v", err)
	}
	if err := h.Begin(ctx); err != driver.ErrClosed {
		t.Errorf("Begin after Close, on a ctx that ended: %v", err)
	}
}

func TestGateGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g lifecycle.Gate
		stop := make(chan struct{})
		if !g.Go(func() { <-stop }) {
			t.Fatal("an open gate lets nothing in")
		}
		g.Shut()
		if g.Go(func() { t.Error("it ran behind a gate that was shut") }) {
			t.Error("a gate that was shut lets something in")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait with something under way: %v", err)
		}
		close(stop)
		if err := g.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := lifecycle.Sleep(t.Context(), time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("Sleep: %v after %s, want none after 1s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if err := lifecycle.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Sleep on a ctx that ended: %v after %s", err, time.Since(start))
		}
	})
}
