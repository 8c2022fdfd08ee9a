package postgres

import (
	"errors"
	"sync"
	"testing"

	"github.com/batch-go/batch/driver"
)

// TestDepthFolds: the counts stay right when many calls change them while others fold the changes, and the
// changes do not pile up.
func TestDepthFolds(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	const workers, each = 6, 150
	var all sync.WaitGroup
	for range workers {
		c := consume(t, d, q)
		all.Go(func() {
			for range each {
				enqueue(t, d, q, message("a"))
				done(t, c, receive(t, c, 1)...)
				enqueue(t, d, q, message("b"))
			}
		})
		all.Go(func() {
			for range each / 5 {
				got := depth(t, d, q)
				if got.Waiting < 0 || got.Running < 0 || got.Waiting > 2*workers*each || got.Running > workers {
					t.Errorf("the depth is %+v", got)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	got := depth(t, d, q)
	depth(t, d, q)
	conn := connect(t, plainURL(t))
	if n := number(t, conn, `SELECT count(*) FROM `+d.schema+`.jobs`); got.Waiting != n || got.Running != 0 || n != workers*each {
		t.Errorf("the depth is %+v, with %d jobs", got, n)
	}
	if n := number(t, conn, `SELECT count(*) FROM `+d.schema+`.tallies`); n > foldAt {
		t.Errorf("%d changes are not folded", n)
	}
}

// TestMissingQueueOfEmptyTables: a queue that is not there is an error also where the server reads a table from its
// beginning, finds nothing, and so asks no question about the queue.
func TestMissingQueueOfEmptyTables(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, table := range []string{"dead", "jobs", "keys"} {
		run(t, connect(t, plainURL(t)), `VACUUM (ANALYZE) `+d.schema+`.`+table)
	}
	ctx := testContext(t)
	_, _, letters := d.DeadLetters(ctx, "missing", "", 10)
	_, _, waiting := d.List(ctx, "missing", driver.StateWaiting, "", 10)
	_, _, scheduled := d.List(ctx, "missing", driver.StateScheduled, "", 10)
	_, redrive := d.Redrive(ctx, "missing", driver.Selection{All: true})
	_, discard := d.Discard(ctx, "missing", driver.Selection{All: true})
	_, purge := d.Purge(ctx, "missing")
	_, depth := d.Depth(ctx, "missing")
	_, paused := d.Paused(ctx, "missing")
	for what, err := range map[string]error{
		"DeadLetters": letters, "List of waiting jobs": waiting, "List of scheduled jobs": scheduled, "Redrive": redrive, "Discard": discard,
		"Purge": purge, "Depth": depth, "Paused": paused, "Pause": d.Pause(ctx, "missing"), "Resume": d.Resume(ctx, "missing"),
		"ForgetImports": d.ForgetImports(ctx, "missing", []string{"key"}),
	} {
		if !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
