package movers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// lastError is that of the dead letters.
const lastError = "it failed for good"

// jobs are those of a queue that is moved.
type jobs struct {
	run   []string          // the IDs of those that run on one side or the other
	dead  map[string]*entry // the dead letters, as they were stored
	later map[string]*entry // those that are held back for an hour, where that can be listed
	made  time.Time         // when the last of those was stored
}

// entry is a job as it was on another queue before.
type entry = batch.Entry

// idOf is the ID of a job.
func idOf(i int) string { return fmt.Sprintf("job-%06d", i) }

// withDriver opens a broker for a while.
func withDriver(t *testing.T, url string, do func(d batch.Importer)) {
	t.Helper()
	d, err := batch.Open[batch.Importer](t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	do(d)
}

// imported stores the first n jobs: of ten one is dead, one is scheduled for seconds, and one for an hour where
// that can be listed.
func imported(t *testing.T, url, queue string, n int, l *ledger) *jobs {
	made := &jobs{dead: make(map[string]*entry), later: make(map[string]*entry)}
	withDriver(t, url, func(d batch.Importer) {
		_, inspector := d.(driver.Inspector)
		_, grouper := d.(driver.Grouper)
		entries := make([]entry, n)
		for i := range entries {
			e := &entries[i]
			e.State, e.ID, e.Kind, e.ContentType = batch.StateWaiting, idOf(i), task{}.Kind(), "application/json"
			e.Body = fmt.Appendf(nil, `{"N":%d}`, i)
			e.Headers = map[string]string{"n": fmt.Sprint(i)}
			e.EnqueuedAt = time.Now().Add(-time.Duration(n-i) * time.Second).UTC().Truncate(time.Millisecond)
			l.since[e.ID] = e.EnqueuedAt
			switch i % 10 {
			case 1:
				e.State, e.Reason, e.DeadAt, e.Failures, e.LastError = batch.StateDead, driver.ReasonAttempts, e.EnqueuedAt, 3, lastError
				made.dead[e.ID] = e
				continue
			case 2:
				e.State, e.Delay = batch.StateScheduled, time.Duration(1+i%20)*time.Second
			case 3:
				if inspector {
					e.State, e.Delay = batch.StateScheduled, time.Hour
					made.later[e.ID] = e
					continue
				}
			case 4, 5, 6:
				if grouper {
					e.Group = fmt.Sprint("group-", i%3)
				}
			}
			made.run = append(made.run, e.ID)
		}
		q, err := batch.TryNewQueue(d, queue)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := batch.Import(t.Context(), q, entries); err != nil {
			t.Fatal(err)
		}
		made.made = time.Now()
	})
	return made
}

// produce enqueues the jobs from one to before another, one after the other, while the queue is moved. The channel is closed
// when all are confirmed.
func produce(t *testing.T, url, queue string, from, to int) <-chan struct{} {
	d, err := batch.Open[batch.Driver](t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	q := batch.NewQueue(d, queue)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := from; i < to; i++ {
			if _, err := q.Enqueue(t.Context(), task{i}, batch.ID(q, idOf(i)), batch.Header(q, "n", fmt.Sprint(i))); err != nil {
				t.Errorf("enqueue job %d: %v", i, err)
			}
		}
		if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	return ended
}
