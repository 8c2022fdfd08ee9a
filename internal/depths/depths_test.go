package depths

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// broker is a driver of which only Depth is called.
type broker struct {
	driver.Driver
	depth func(ctx context.Context, queue string) (driver.Depth, error)

	mu    sync.Mutex // guards following
	calls int
	most  int // calls at the same time
	now   int
}

func (b *broker) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	b.mu.Lock()
	b.calls++
	b.now++
	b.most = max(b.most, b.now)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.now--
		b.mu.Unlock()
	}()
	return b.depth(ctx, queue)
}

// seen is how many calls there were, and how many at the same time.
func (b *broker) seen() (calls, most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls, b.most
}

// source makes one with a timeout of a second that keeps answers for ten.
func source(t *testing.T, b *broker, queues ...string) *Source {
	t.Helper()
	s, err := New(b, queues, time.Second, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnswersAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{depth: func(context.Context, string) (driver.Depth, error) {
			time.Sleep(100 * time.Millisecond)
			return driver.Depth{Waiting: 3}, nil
		}}
		s := source(t, b, "a")
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if q := s.Read(t.Context()); q[0].Err != nil || q[0].Depth.Waiting != 3 || q[0].Name != "a" {
					t.Errorf("read %+v", q)
				}
			})
		}
		all.Wait()
		time.Sleep(9 * time.Second)
		s.Read(t.Context())
		if calls, _ := b.seen(); calls != 1 {
			t.Errorf("%d calls within the time that answers are kept, want 1", calls)
		}
		time.Sleep(2 * time.Second)
		s.Read(t.Context())
		if calls, _ := b.seen(); calls != 2 {
			t.Errorf("%d calls after that time, want 2", calls)
		}
	})
}

// A broker that does not answer costs each caller the timeout, and gets one call at a time.
func TestNothingPilesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{depth: func(ctx context.Context, _ string) (driver.Depth, error) {
			<-ctx.Done()
			return driver.Depth{}, ctx.Err()
		}}
		s := source(t, b, "a")
		var all sync.WaitGroup
		for i := range 300 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				start := time.Now()
				q := s.Read(t.Context())
				if took := time.Since(start); took > time.Second {
					t.Errorf("a read took %s", took)
				}
				if !errors.Is(q[0].Err, context.DeadlineExceeded) || q[0].Depth.Waiting != batch.UnknownCount || q[0].Depth.Age != batch.UnknownAge {
					t.Errorf("read %+v", q)
				}
			})
		}
		all.Wait()
		if calls, most := b.seen(); calls != 3 || most != 1 {
			t.Errorf("%d calls in 30 seconds, %d at the same time; want 3, one after the other", calls, most)
		}
	})
}

// What is known of one queue does not wait for another.
func TestPartOfTheAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{depth: func(ctx context.Context, queue string) (driver.Depth, error) {
			if queue == "slow" {
				<-ctx.Done()
				return driver.Depth{}, ctx.Err()
			}
			return driver.Depth{Waiting: 1, Running: 2, Due: 3}, nil
		}}
		q := source(t, b, "slow", "quick").Read(t.Context())
		if q[0].Err == nil || q[0].Demand() != batch.UnknownCount {
			t.Errorf("the slow queue is %+v", q[0])
		}
		if q[1].Err != nil || q[1].Demand() != 6 {
			t.Errorf("the quick queue is %+v", q[1])
		}
	})
}

// A call that does not end with its context is not followed by another, and what was answered beside it is not good for ever.
func TestHungCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		b := &broker{depth: func(_ context.Context, queue string) (driver.Depth, error) {
			if queue == "hung" {
				<-hung
			}
			return driver.Depth{}, nil
		}}
		s := source(t, b, "hung", "quick")
		if q := s.Read(t.Context()); q[1].Err != nil {
			t.Errorf("the quick queue is %+v", q[1])
		}
		time.Sleep(time.Minute)
		start := time.Now()
		if q := s.Read(t.Context()); !errors.Is(q[1].Err, ErrHung) || q[1].Depth.Waiting != batch.UnknownCount || time.Since(start) > 0 {
			t.Errorf("a minute later, after %s, the quick queue is %+v", time.Since(start), q[1])
		}
		if calls, _ := b.seen(); calls != 2 {
			t.Errorf("%d calls, want 2", calls)
		}
		close(hung)
		synctest.Wait()
		time.Sleep(11 * time.Second)
		if q := s.Read(t.Context()); q[0].Err != nil || q[1].Err != nil {
			t.Errorf("when it has returned: %+v", q)
		}
	})
}

// Without keeping, each call that comes after a look has a new one, and gets what there is when the timeout has passed.
func TestNothingIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		b := &broker{depth: func(_ context.Context, queue string) (driver.Depth, error) {
			if queue == "hung" {
				<-hung
			}
			return driver.Depth{Waiting: 1}, nil
		}}
		s, err := New(b, []string{"hung", "quick"}, time.Second, 0)
		if err != nil {
			t.Fatal(err)
		}
		if q := s.Read(t.Context()); q[0].Err == nil || q[1].Err != nil {
			t.Errorf("read %+v, want the quick queue's depth", q)
		}
		time.Sleep(time.Minute)
		if q := s.Read(t.Context()); !errors.Is(q[0].Err, ErrHung) || !errors.Is(q[1].Err, ErrHung) {
			t.Errorf("a minute later read %+v, want that a call hangs", q)
		}
		close(hung)
		synctest.Wait()
		for range 2 {
			if q := s.Read(t.Context()); q[0].Err != nil || q[1].Err != nil {
				t.Errorf("when it has returned: %+v", q)
			}
		}
		if calls, _ := b.seen(); calls != 6 {
			t.Errorf("%d calls, want 6", calls)
		}
	})
}

// A caller that goes leaves the look to the others.
func TestCallerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{depth: func(context.Context, string) (driver.Depth, error) {
			time.Sleep(500 * time.Millisecond)
			return driver.Depth{Waiting: 3}, nil
		}}
		s := source(t, b, "a")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if q := s.Read(ctx); q[0].Err == nil {
			t.Errorf("read %+v", q)
		}
		if q := s.Read(t.Context()); q[0].Depth.Waiting != 3 {
			t.Errorf("read %+v", q)
		}
		if calls, _ := b.seen(); calls != 1 {
			t.Errorf("%d calls, want 1", calls)
		}
	})
}

// pauser is a broker that can pause.
type pauser struct {
	*broker
	driver.Pauser
	paused func(queue string) (bool, error)
}

func (p *pauser) Paused(_ context.Context, queue string) (bool, error) { return p.paused(queue) }

// Whether a queue is paused is known where it was asked for and the broker told, and each answer has its time.
func TestPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{depth: func(_ context.Context, queue string) (driver.Depth, error) {
			if queue == "gone" {
				return driver.Depth{}, driver.ErrNotFound
			}
			time.Sleep(time.Second / 2)
			return driver.Depth{}, nil
		}}
		p := &pauser{broker: b, paused: func(queue string) (bool, error) {
			if queue == "mute" {
				return false, driver.ErrBroker
			}
			return queue == "still", nil
		}}
		begun := time.Now()
		for _, asks := range []bool{true, false} {
			s, err := New(p, []string{"still", "busy", "mute", "gone"}, time.Second, 0)
			if err != nil {
				t.Fatal(err)
			}
			if asks {
				s.AskPaused()
			}
			q := s.Read(t.Context())
			if known := q[0].Paused != nil && *q[0].Paused && q[1].Paused != nil && !*q[1].Paused; known != asks || q[2].Paused != nil || q[3].Paused != nil || q[2].Err != nil {
				t.Errorf("asks is %v: %+v", asks, q)
			}
			if !q[3].At.Before(q[0].At) || q[3].At.Before(begun) {
				t.Errorf("answered at %s and %s", q[3].At, q[0].At)
			}
		}
	})
}

// A source that is closed ends the look that is under way.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{depth: func(ctx context.Context, _ string) (driver.Depth, error) {
			<-ctx.Done()
			return driver.Depth{}, ctx.Err()
		}}
		s, err := New(b, []string{"a"}, time.Minute, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.Close(t.Context()) // before the first look
		if s, err = New(b, []string{"a"}, time.Minute, 0); err != nil {
			t.Fatal(err)
		}
		ended := make(chan []Queue)
		go func() { ended <- s.Read(t.Context()) }()
		synctest.Wait()
		begun := time.Now()
		s.Close(t.Context())
		if q := <-ended; !errors.Is(q[0].Err, context.Canceled) || time.Since(begun) > 0 {
			t.Errorf("after %s: %+v", time.Since(begun), q)
		}
	})
}

func TestManyQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{depth: func(_ context.Context, queue string) (driver.Depth, error) {
			time.Sleep(time.Millisecond)
			return driver.Depth{Dead: int64(len(queue))}, nil
		}}
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("q%d", i))
		}
		for i, q := range source(t, b, names...).Read(t.Context()) {
			if q.Name != names[i] || q.Depth.Dead != int64(len(names[i])) || q.Err != nil {
				t.Errorf("queue %d is %+v", i, q)
			}
		}
		if calls, most := b.seen(); calls != 100 || most != parallel {
			t.Errorf("%d calls, %d at the same time; want 100, %d", calls, most, parallel)
		}
	})
}

// The numbers for autoscaling, with what is unknown.
func TestBacklogAndDemand(t *testing.T) {
	const none = batch.UnknownCount
	for _, test := range []struct{ waiting, due, running, backlog, demand int64 }{
		{0, 0, 0, 0, 0},
		{2, 3, 4, 5, 9},
		{2, none, 4, 3, 7},
		{2, 0, none, 2, none},
		{0, none, none, 1, none},
		{none, 3, 4, none, none},
	} {
		q := Queue{Depth: batch.Depth{Waiting: test.waiting, Due: test.due, Running: test.running}}
		if q.Backlog() != test.backlog || q.Demand() != test.demand {
			t.Errorf("%+v: backlog %d, demand %d", test, q.Backlog(), q.Demand())
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, names := range [][]string{nil, {"a", "a"}, {"no good"}} {
		if _, err := New(&broker{}, names, time.Second, 0); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", names, err)
		}
	}
	if _, err := New(nil, []string{"a"}, time.Second, 0); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("no driver: %v, want ErrInvalid", err)
	}
}
