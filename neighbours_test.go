package batch_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// bulky is args of any size.
type bulky struct {
	N   int
	Pad string
}

func (bulky) Kind() string { return "bulky" }

// A job that is too large, by its limits or by the broker's own word, is refused for what it
// is, and its neighbours are stored: in one call, in calls that share a request, and in an
// import.
func TestOneRefusedJobHarmsNoOther(t *testing.T) {
	const jobs = 50
	huge := strings.Repeat("x", memory.New().Info().Limits.MaxBody+1)
	padded := func(n int) bulky {
		if n == 20 {
			return bulky{N: n, Pad: huge}
		}
		return bulky{N: n}
	}
	refusing := func() *scripted {
		d := newScripted()
		d.onEnqueue = func(_ int, m []*driver.Message) ([]driver.Result, bool) {
			results := make([]driver.Result, len(m))
			for i, one := range m {
				if strings.Contains(string(one.Body), `"N":20,`) {
					results[i].Err = &driver.Error{Driver: "scripted", Op: "enqueue", Kind: driver.ErrTooLarge, Fate: driver.FateNotStored}
				} else if r := d.Driver.Enqueue(context.Background(), "tasks", m[i:i+1]); r != nil {
					results[i] = r[0]
				}
			}
			return results, true
		}
		return d
	}
	check := func(t *testing.T, q *batch.Queue[*scripted], errs []error) {
		t.Helper()
		for n, err := range errs {
			if n == 20 && (!errors.Is(err, batch.ErrTooLarge) || fateOfTest(err) != batch.FateNotStored) || n != 20 && err != nil {
				t.Errorf("job %d: %v", n, err)
			}
		}
		if left := depth(t, q); left.Waiting != jobs-1 {
			t.Errorf("left = %+v, want all but one waiting", left)
		}
	}
	t.Run("limit of the body", func(t *testing.T) {
		q := batch.NewQueue(newScripted(), "tasks")
		requests := make([]batch.Request[*scripted], jobs)
		for n := range requests {
			requests[n].Args = padded(n)
		}
		results, err := q.EnqueueMany(t.Context(), requests)
		var many *batch.ManyError
		if !errors.As(err, &many) || many.Refused != 1 || many.Unconfirmed != 1 {
			t.Errorf("%+v, want one refused", many)
		}
		check(t, q, errorsOf(results))
	})
	t.Run("refused by the broker", func(t *testing.T) {
		q := batch.NewQueue(refusing(), "tasks")
		requests := make([]batch.Request[*scripted], jobs)
		for n := range requests {
			requests[n].Args = bulky{N: n}
		}
		results, err := q.EnqueueMany(t.Context(), requests)
		var many *batch.ManyError
		if !errors.As(err, &many) || many.NotStored != 1 || many.Unconfirmed != 1 {
			t.Errorf("%+v, want one that is not stored", many)
		}
		check(t, q, errorsOf(results))
	})
	t.Run("in a shared request", func(t *testing.T) {
		q := batch.NewQueue(refusing(), "tasks")
		errs := make([]error, jobs)
		var all sync.WaitGroup
		for n := range errs {
			all.Go(func() { _, errs[n] = q.Enqueue(t.Context(), bulky{N: n}) })
		}
		all.Wait()
		check(t, q, errs)
	})
	t.Run("imported", func(t *testing.T) {
		q := batch.NewQueue(newScripted(), "tasks")
		entries := make([]batch.Entry, jobs)
		for n := range entries {
			p, err := q.Prepare(t.Context(), bulky{N: n})
			if err != nil {
				t.Fatal(err)
			}
			entries[n] = batch.Entry{State: batch.StateWaiting}
			entries[n].Message = driver.Message{ID: p.ID(), Kind: p.Kind(), ContentType: "application/json", EnqueuedAt: time.Unix(1700000000, 0)}
		}
		entries[20].Body = []byte(huge)
		results, err := batch.Import(t.Context(), q, entries)
		if err == nil {
			t.Error("Import = nil, want the error of one")
		}
		check(t, q, errorsOf(results))
	})
}

// errorsOf are the errors of results.
func errorsOf(results []batch.Result) []error {
	errs := make([]error, len(results))
	for i, r := range results {
		errs[i] = r.Err
	}
	return errs
}

// fateOfTest is what an error says of a job: one that was refused was not sent.
func fateOfTest(err error) batch.Fate {
	var sent *batch.EnqueueError
	if errors.As(err, &sent) {
		return sent.Fate
	}
	return batch.FateNotStored
}
