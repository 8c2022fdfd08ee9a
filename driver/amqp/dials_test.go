package amqp

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// gone is a base whose broker has gone: what stands in its place ends each connection,
// and counts them.
func gone(t *testing.T) (b *base, dials *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dials = new(atomic.Int64)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			dials.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	u, err := url.Parse("amqp://guest:guest@" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseURL(u)
	if err != nil {
		t.Fatal(err)
	}
	return newBase(c), dials
}

// TestDialsOncePerCall: however many delayed jobs a call has, a broker that is gone is
// asked once, and each job is told.
func TestDialsOncePerCall(t *testing.T) {
	const count = 50
	messages := make([]*driver.Message, count)
	entries := make([]*driver.Entry, count)
	for i := range messages {
		messages[i] = message(fmt.Sprint(i))
		messages[i].Delay = time.Hour
		entries[i] = &driver.Entry{Message: *messages[i], State: driver.StateScheduled}
	}
	for what, call := range map[string]func(b *base) []error{
		"Enqueue": func(b *base) []error { return errorsOf(b.Enqueue(t.Context(), "q", messages)) },
		"Import":  func(b *base) []error { return errorsOf(b.Import(t.Context(), "q", entries)) },
		"retries": func(b *base) []error {
			s := goneSettlement(b, count)
			s.replace(t.Context())
			return s.errs
		},
	} {
		b, dials := gone(t)
		errs := call(b)
		if len(errs) != count {
			t.Fatalf("%s: %d errors", what, len(errs))
		}
		for _, err := range errs {
			if err = fail("call", "q", err); !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored {
				t.Fatalf("%s: %v, %s", what, err, driver.FateOf(err))
			}
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("%s dialled %d times for %d jobs", what, n, count)
		}
	}
}

// TestLostIsAskedOncePerCall: so is whether the queue is there, of whose parts some were
// not.
func TestLostIsAskedOncePerCall(t *testing.T) {
	b, dials := gone(t)
	s := goneSettlement(b, 50)
	for range s.items {
		if err := s.orLost(t.Context(), errReturned); err != errReturned {
			t.Fatal(err)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("dialled %d times", n)
	}
}

// errorsOf are the errors of results.
func errorsOf(results []driver.Result) []error {
	errs := make([]error, len(results))
	for i, r := range results {
		errs[i] = r.Err
	}
	return errs
}

// goneSettlement is one of retries.
func goneSettlement(b *base, count int) *settlement {
	c := &consumer{source: &source{base: b, names: newNames("q")}}
	s := newSettlement(c, make([]driver.Settlement, count))
	for i := range s.items {
		s.items[i] = driver.Settlement{Delivery: &driver.Delivery{Message: *message(fmt.Sprint(i))}, Outcome: driver.OutcomeRetry, Delay: time.Hour}
		s.receipts[i] = &receipt{session: &session{}}
	}
	return s
}
