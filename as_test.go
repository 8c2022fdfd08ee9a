package batch_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// As finds what the driver has, whatever the queue's type says.
func TestAsLooksAtTheDriver(t *testing.T) {
	able := batch.NewQueue[batch.Driver](memory.New(), "tasks")
	if _, ok := batch.As[Broker](able); !ok {
		t.Error("the memory driver has no priorities and delays")
	}
	if q, ok := batch.As[*memory.Driver](able); !ok || q.Driver() != able.Driver() || q.Name() != "tasks" {
		t.Errorf("As the driver's own type = %v, %v", q, ok)
	}
	larger, _ := batch.As[Broker](able)
	if _, ok := batch.As[batch.Driver](larger); !ok {
		t.Error("a smaller set is refused")
	}
	if q, ok := batch.As[batch.Prioritizer](batch.NewQueue[batch.Driver](memory.NewPortable(), "tasks")); ok || q != nil {
		t.Errorf("As on a driver without priorities = %v, %v", q, ok)
	}
}

// What As returns is the same queue: it is declared once, requests are shared, and
// the options of With stay.
func TestAsIsTheSameQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		gate := make(chan struct{})
		var sizes []int
		d.onEnqueue = func(n int, m []*driver.Message) ([]driver.Result, bool) {
			sizes = append(sizes, len(m))
			if n == 1 {
				<-gate
			}
			return nil, false
		}
		q := batch.NewQueue[batch.Driver](d, "tasks")
		q = q.With(batch.MaxAttempts(q, 3))
		able, ok := batch.As[batch.Inspector](q)
		if !ok {
			t.Fatal("the driver is no Inspector")
		}
		var wg sync.WaitGroup
		send := func(enqueue func() error) {
			wg.Go(func() {
				if err := enqueue(); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for range 2 {
			send(func() error { _, err := q.Enqueue(t.Context(), task{}); return err })
			send(func() error { _, err := able.Enqueue(t.Context(), task{}); return err })
		}
		close(gate)
		wg.Wait()
		if d.declares != 1 || len(sizes) != 2 || sizes[1] != 3 {
			t.Errorf("%d declarations and requests of %v jobs, want 1 and [1 3]", d.declares, sizes)
		}
		page, _, err := batch.ListJobs(t.Context(), able, batch.StateWaiting, "", 10)
		if err != nil || len(page) != 4 {
			t.Fatalf("%d jobs, %v", len(page), err)
		}
		for _, job := range page {
			if job.MaxAttempts != 3 {
				t.Errorf("a job has %d attempts, want the 3 of With", job.MaxAttempts)
			}
		}
	})
}
