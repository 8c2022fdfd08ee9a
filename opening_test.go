package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
)

// A worker with many queues opens several at the same time, and no more than the first of a
// broker that refuses it.
func TestManyQueuesOpenTogether(t *testing.T) {
	const trip = 20 * time.Millisecond
	refused := errors.New("refused")
	for name, test := range map[string]struct {
		refuse  int // the call that is refused, if any
		queues  int
		calls   int           // at most
		took    time.Duration // at most
		unready int           // how many calls the broker cannot be reached for
	}{
		"one":          {queues: 1, calls: 1, took: trip},
		"hundreds":     {queues: 500, calls: 500, took: 33 * trip},
		"refused":      {queues: 500, refuse: 1, calls: 1, took: trip},
		"refused late": {queues: 500, refuse: 100, calls: 130, took: 10 * trip},
		"not there":    {queues: 500, unready: 1, calls: 501, took: 34*trip + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				var under, most atomic.Int64
				d.onDeclare = func(call int) error {
					most.Store(max(most.Load(), under.Add(1)))
					time.Sleep(trip)
					under.Add(-1)
					switch {
					case call <= test.unready:
						return batch.ErrUnavailable
					case call == test.refuse:
						return refused
					}
					return nil
				}
				config := batch.WorkerConfig{Log: slog.New(slog.DiscardHandler)}
				for i := range test.queues {
					config.Queues = append(config.Queues, batch.WorkerQueue{Name: fmt.Sprint("q", i)})
				}
				w := batch.NewWorker(d, config)
				batch.Handle(w, func(context.Context, *batch.Job[task]) error { return nil })
				begin := time.Now()
				err := w.Start(t.Context())
				took := time.Since(begin)
				if test.refuse > 0 != errors.Is(err, refused) || test.refuse == 0 && err != nil {
					t.Errorf("start: %v", err)
				}
				if took > test.took || d.declares > test.calls || most.Load() > 16 {
					t.Errorf("%d calls, up to %d at once, in %s, want up to %d in %s", d.declares, most.Load(), took, test.calls, test.took)
				}
				if err == nil {
					if err := w.Stop(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// A worker with many queues closes several at the same time, and tells of all that cannot be
// closed.
func TestManyQueuesCloseTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const trip, queues = 20 * time.Millisecond, 160
		d := newScripted()
		var under, most, calls atomic.Int64
		refused := errors.New("refused")
		d.onClose = func() error {
			most.Store(max(most.Load(), under.Add(1)))
			time.Sleep(trip) // fake time
			under.Add(-1)
			if calls.Add(1) == queues/2 {
				return refused
			}
			return nil
		}
		w := batch.NewWorker(d, batch.WorkerConfig{Queues: manyQueues(queues), Log: silent})
		batch.Handle(w, func(context.Context, *batch.Job[task]) error { return nil })
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := w.Stop(t.Context()); !errors.Is(err, refused) {
			t.Errorf("stop: %v, want what one of them says", err)
		}
		if took := time.Since(begin); took > queues/16*trip || calls.Load() != queues || most.Load() > 16 {
			t.Errorf("%d calls, up to %d at once, in %s", calls.Load(), most.Load(), took)
		}
	})
}
