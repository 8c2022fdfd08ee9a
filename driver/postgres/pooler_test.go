package postgres

import (
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// TestPooler: behind a pooler in transaction mode the whole life of a job works, and what is enqueued in a
// transaction of the application through the pooler too. The driver listens to nothing there.
func TestPooler(t *testing.T) {
	t.Parallel()
	for _, version := range brokers.PgBouncerVersions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			pooler := brokers.NewPgBouncer(t, version, "default_pool_size=4")
			d := openAt(t, pooler.Pool.URL())
			if d.bell.config != nil {
				t.Error("the driver listens behind a pooler")
			}
			q := queue(t, d)
			c, other := consume(t, d, q), openAt(t, pooler.Pool.URL())
			for _, mode := range []string{"exec", "simple_protocol", "cache_describe", "describe_exec"} { // of the application
				enqueue(t, other, q, message("a"))
				if err := other.EnqueueAtomic(testContext(t), q, []*driver.Message{message("b", dedup(mode))}); err != nil {
					t.Fatal(err)
				}
				tx, err := connect(t, withParams(t, pooler.Pool.URL(), "default_query_exec_mode", mode)).Begin(testContext(t))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := other.EnqueueTx(testContext(t), tx, q, many(1)); err != nil {
					t.Fatal(err)
				}
				if err := tx.Commit(testContext(t)); err != nil {
					t.Fatal(err)
				}
				for n := 0; n < 3; {
					got := receive(t, c, 3)
					n += len(got)
					done(t, c, got...)
				}
			}
			if got := depth(t, d, q); got.Waiting+got.Running+got.Dead != 0 {
				t.Errorf("the depth in the end is %+v", got)
			}
			settings := connect(t, pooler.Database.URL())
			if n := number(t, settings, `SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'listen%'`); n != 0 {
				t.Errorf("%d connections listen", n)
			}
		})
	}
}
