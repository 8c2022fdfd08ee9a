package postgres

import (
	"encoding/json"
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
	if _, err := d.Find(testContext(t), q, "a"); err != nil { // which prepares its looks
		t.Fatal(err)
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

// TestListsDamagedRows: rows that somebody else has stored, with levels and times that are none, are listed with the
// others, each once, in pages of any size.
func TestListsDamagedRows(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("a"))
	conn := connect(t, plainURL(t))
	for i, level := range []int{-32768, -3, 3, 90, 32767} {
		run(t, conn, `INSERT INTO `+d.schema+`.jobs (seq, queue, state, level, pos, since, id, kind, content_type, body, enqueued_at)
			SELECT nextval('`+d.schema+`.numbers'), queue, 'w', $1::integer, pos, since, 'x' || $2::integer, kind, content_type, body, 9223372036854775807 FROM `+d.schema+`.jobs WHERE id = 'a'`, level, i)
	}
	for _, size := range []int{1, 100} {
		seen, cursor := map[string]int{}, ""
		for range 12 {
			page, next, err := d.List(testContext(t), q, driver.StateWaiting, cursor, size)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				seen[e.ID]++
				if _, err := json.Marshal(e); err != nil {
					t.Errorf("%s cannot be encoded: %v", e.ID, err)
				}
			}
			if cursor = next; next == "" {
				break
			}
		}
		for _, id := range []string{"a", "x0", "x1", "x2", "x3", "x4"} {
			if seen[id] != 1 {
				t.Errorf("in pages of %d, %s is listed %d times", size, id, seen[id])
			}
		}
	}
}
