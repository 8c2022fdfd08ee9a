package postgres

import (
	"testing"

	"github.com/batch-go/batch/driver"
)

// TestFindDuringRedrive: a dead letter that a redrive takes back while Find looks for it is found.
func TestFindDuringRedrive(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	entry := driver.Entry{Message: *message("a"), State: driver.StateDead, Reason: driver.ReasonPermanent}
	if r := d.Import(testContext(t), q, []*driver.Entry{&entry})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	for _, table := range []string{"dead", "jobs"} { // Find waits for it, in its first or its second look
		conn, other := connect(t, plainURL(t)), connect(t, plainURL(t))
		run(t, conn, `BEGIN`)
		run(t, conn, `LOCK TABLE `+d.schema+`.`+table+` IN ACCESS EXCLUSIVE MODE`)
		ends := make(chan error, 1)
		go func() {
			got, err := d.Find(testContext(t), q, "a")
			if err == nil && got.ID != "a" {
				t.Errorf("found %+v", got)
			}
			ends <- err
		}()
		await(t, "Find", func() bool {
			return number(t, other, `SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT l.granted AND n.nspname = $1`, d.schema) > 0
		})
		if table == "dead" {
			run(t, conn, `WITH gone AS (DELETE FROM `+d.schema+`.dead RETURNING *) INSERT INTO `+d.schema+`.jobs (seq, queue, state, level, pos, since, id, kind, content_type, body, enqueued_at)
				SELECT seq, queue, 'w', level, seq, now(), id, kind, content_type, body, enqueued_at FROM gone`)
		}
		run(t, conn, `COMMIT`)
		if err := <-ends; err != nil {
			t.Errorf("%s: %v", table, err)
		}
	}
}
