package load

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/bench/performance/peer"
)

// fake is a peer in memory, which may lose jobs and hand them out twice.
type fake struct {
	lose, double int64 // every so manieth; none if it is zero
	queues       []string
	waiting      chan peer.Job
}

func (f *fake) Enqueue(_ context.Context, _ string, j peer.Job) error {
	if f.lose == 0 || j.N%f.lose != 0 {
		f.waiting <- j
	}
	if f.double != 0 && j.N%f.double == 0 {
		f.waiting <- j
	}
	return nil
}

func (f *fake) EnqueueTx(ctx context.Context, queue string, j peer.Job) error {
	return f.Enqueue(ctx, queue, j)
}

func (f *fake) EnqueueAt(ctx context.Context, queue string, j peer.Job, due time.Time) error {
	time.AfterFunc(time.Until(due), func() { _ = f.Enqueue(ctx, queue, j) })
	return nil
}

func (f *fake) EnqueueMany(ctx context.Context, queue string, jobs []peer.Job) error {
	return peer.Each(jobs, func(j peer.Job) error { return f.Enqueue(ctx, queue, j) })
}

func (f *fake) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for range concurrency {
		all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case j := <-f.waiting:
					for handle(j) != nil {
					}
				}
			}
		})
	}
	return func() error { cancel(); all.Wait(); return nil }, nil
}

func (f *fake) Close() error { return nil }

// measureFake has a fake do a workload, in a small form.
func measureFake(t *testing.T, workload string, f *fake) Result {
	t.Helper()
	scale := Scale{Time: 20 * time.Millisecond, Jobs: 2000, Backlog: 2000, Delayed: 20, Window: 100 * time.Millisecond, Patience: time.Second}
	r, err := Measure(t.Context(), workload, func(_ context.Context, at peer.Place) (peer.Peer, error) {
		f.queues, f.waiting = at.Queues, make(chan peer.Job, 100_000)
		return f, nil
	}, peer.Place{}, scale, Broker{})
	if err != nil && !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	return r
}

// TestWorkloads shows that each workload counts all jobs of a peer that loses none.
func TestWorkloads(t *testing.T) {
	for _, w := range Workloads() {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			r := measureFake(t, w.Name, &fake{})
			if r.Sent == 0 || r.Arrived != r.Sent || r.Again != 0 {
				t.Errorf("sent %d, arrived %d, again %d (%s)", r.Sent, r.Arrived, r.Again, r.Note)
			}
			if w.Kind == Rate && (r.Jobs == 0 || r.Took <= 0) || w.Kind != Rate && r.P50 <= 0 {
				t.Errorf("nothing was measured: %+v", r)
			}
		})
	}
}

// TestLossesAreSeen shows that a peer that loses jobs, or doubles them, is found out.
func TestLossesAreSeen(t *testing.T) {
	for _, name := range []string{"enqueue-1", "enqueue-64", "enqueue-many", "tx-64", "process", "failing", "paced"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := measureFake(t, name, &fake{lose: 7}); r.Arrived >= r.Sent || r.Note == "" {
				t.Errorf("sent %d, arrived %d, note %q", r.Sent, r.Arrived, r.Note)
			}
			if r := measureFake(t, name, &fake{double: 3}); r.Again == 0 {
				t.Errorf("none again of %d", r.Sent)
			}
		})
	}
}

// syncing is a peer that syncs each job.
type syncing struct {
	fake
	file *os.File
}

// Enqueue implements peer.Peer.
func (s *syncing) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	return errors.Join(s.file.Sync(), s.fake.Enqueue(ctx, queue, j))
}

// TestFsyncsAreCounted shows that a measurement that is asked for it counts syncs, of the time measured alone.
func TestFsyncsAreCounted(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // its folder goes
	scale := Scale{Time: time.Minute, Jobs: 100, Patience: time.Second}
	r, err := Measure(t.Context(), "enqueue-1", func(context.Context, peer.Place) (peer.Peer, error) {
		return &syncing{fake{waiting: make(chan peer.Job, 1000)}, file}, nil
	}, peer.Place{}, scale, Broker{Fsyncs: true})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || r.Jobs != 100 || r.Fsyncs != 100 {
		t.Errorf("%d syncs of %d jobs: %v", r.Fsyncs, r.Jobs, err)
	}
}
