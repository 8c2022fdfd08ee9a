package otelbatch_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/otelbatch"
)

// TestDepth reports what is known, and nothing of the rest.
func TestDepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.driver.depth = func(ctx context.Context, queue string) (driver.Depth, error) {
			switch queue {
			case "missing":
				return driver.Depth{}, fault(batch.ErrNotFound, driver.FateNotStored)
			case "hangs":
				<-ctx.Done()
				return driver.Depth{}, ctx.Err()
			case "empty":
				return driver.Depth{Due: batch.UnknownCount, Age: batch.UnknownAge}, nil
			}
			return driver.Depth{Waiting: 5, Scheduled: 3, Running: batch.UnknownCount, Dead: 1, Due: 2, Age: 90 * time.Second}, nil
		}
		stop, err := r.hook.ObserveDepth("tasks", "missing", "hangs", "empty")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		metrics, err := r.collect()
		if err == nil || !strings.Contains(err.Error(), "no depth of 1 of 4 queues") || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("the collection ended with %v after %s, want an error about one queue after 5 s", err, time.Since(start))
		}
		of := func(queue, state string) string {
			return "batch.queue.state=" + state + ",messaging.destination.name=" + queue + ",messaging.system=memory"
		}
		tasks := "messaging.destination.name=tasks,messaging.system=memory"
		for name, want := range map[string][]point{
			"batch.queue.depth": {
				{of("tasks", "waiting"), 5}, {of("tasks", "scheduled"), 3}, {of("tasks", "dead"), 1},
				{of("empty", "waiting"), 0}, {of("empty", "scheduled"), 0}, {of("empty", "running"), 0}, {of("empty", "dead"), 0},
			},
			"batch.queue.due": {{tasks, 2}},
			"batch.queue.age": {{tasks, 90}},
		} {
			if got := points(metrics[name]); !samePoints(got, want) {
				t.Errorf("%s is\n%v, want\n%v", name, got, want)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if metrics, err = r.collect(); err != nil || len(metrics) > 0 {
			t.Errorf("after stop there is %v, %v", metrics, err)
		}
	})
}

// TestDepthIsChecked refuses what is no queue.
func TestDepthIsChecked(t *testing.T) {
	r := newRig(t, nil)
	for _, queues := range [][]string{nil, {"tasks", "no queue"}, {"tasks", "tasks"}} {
		if _, err := r.hook.ObserveDepth(queues...); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("ObserveDepth(%q) = %v", queues, err)
		}
	}
}

// TestDepthOfAHangingDriver: a call that does not end with its context keeps no collection for
// longer than the timeout, and none is added to it. What is known of other queues is reported.
func TestDepthOfAHangingDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release, calls := make(chan struct{}), atomic.Int64{}
		r.driver.depth = func(_ context.Context, queue string) (driver.Depth, error) {
			if queue == "hangs" {
				calls.Add(1)
				<-release
			}
			return driver.Depth{Waiting: 1}, nil
		}
		if _, err := r.hook.ObserveDepth("hangs", "tasks"); err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{4, 0} { // what is known of tasks is too old for the second
			start := time.Now()
			metrics, err := r.collect()
			if got := points(metrics["batch.queue.depth"]); err == nil || len(got) != want || time.Since(start) > 5*time.Second {
				t.Errorf("collection %d ended with %v and %d points after %s, want an error and %d points after 5 s", i+1, err, len(got), time.Since(start), want)
			}
			time.Sleep(time.Minute)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls hang, want one", n)
		}
		close(release)
		synctest.Wait()
		if metrics, err := r.collect(); err != nil || len(points(metrics["batch.queue.depth"])) != 8 {
			t.Errorf("when it has returned there is %v, %v", points(metrics["batch.queue.depth"]), err)
		}
	})
}

// TestDepthOfManyQueues asks several at the same time, and all of them.
func TestDepthOfManyQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *otelbatch.Config) { c.DepthTimeout = time.Minute })
		r.driver.depth = func(context.Context, string) (driver.Depth, error) {
			time.Sleep(time.Second)
			return driver.Depth{}, nil
		}
		var queues []string
		for i := range 100 {
			queues = append(queues, "queue-"+strings.Repeat("x", i%50)+string(rune('a'+i/50)))
		}
		if _, err := r.hook.ObserveDepth(queues...); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		metrics, err := r.collect()
		if got := points(metrics["batch.queue.depth"]); err != nil || len(got) != 400 || time.Since(start) != 13*time.Second {
			t.Errorf("%d points after %s, %v; want 400 after 13 s", len(got), time.Since(start), err)
		}
	})
}
