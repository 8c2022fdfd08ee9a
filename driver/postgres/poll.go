package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// askQueues tells which of some queues a consumer has to look at: jobs are ready, or will be by a look, or the
// queue is not there.
var askQueues = newStatement(`SELECT n.name FROM unnest($1::text[]) AS n (name) LEFT JOIN batch.queues q ON q.name = n.name
	WHERE q.id IS NULL
		OR NOT q.paused AND EXISTS (SELECT 1 FROM batch.jobs j WHERE j.queue = q.id AND j.state = 'w')
		OR EXISTS (SELECT 1 FROM batch.jobs j WHERE j.queue = q.id AND j.state IN ('s', 'r') AND j.due <= statement_timestamp())
		OR EXISTS (SELECT 1 FROM batch.ended e WHERE e.queue = q.id)`)

// forgetKeys removes keys whose time is over, some at a time. One that is taken anew needs no removal.
var forgetKeys = newStatement(`DELETE FROM batch.keys k USING (
		SELECT x.queue, x.key FROM batch.keys x WHERE x.expires <= statement_timestamp() ORDER BY x.expires LIMIT 5000 FOR UPDATE SKIP LOCKED
	) old WHERE k.queue = old.queue AND k.key = old.key`)

// forgetEvery is after how many looks keys are removed: each 10 s, 500 a second and driver.
const forgetEvery = 20

// poll looks for what no notification tells: one that was lost, a delay that is over, a lease whose holder has
// vanished, a queue that was deleted. It is one statement for all consumers of the driver, until close.
func (d *base) poll() {
	ticker := time.NewTicker(idlePoll)
	defer ticker.Stop()
	for looks := 0; ; looks++ {
		select {
		case <-ticker.C:
		case <-d.bell.done:
			return
		}
		queues := d.bell.queues()
		if len(queues) == 0 {
			continue
		}
		err := d.whole(context.Background(), step{askQueues, []any{queues}, func(rows pgx.Rows) error {
			var name string
			err := rows.Scan(&name)
			d.bell.local(name)
			return err
		}})
		if looks%forgetEvery == 0 {
			_ = d.whole(context.Background(), step{forgetKeys, nil, nil}) // else the next time
		}
		if err != nil { // each has to find out for itself
			for _, queue := range queues {
				d.bell.local(queue)
			}
		}
	}
}

// queues are those of which a Receive waits.
func (b *bell) queues() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.wakers))
}

// loud wakes those who wait for jobs of a queue, in all processes.
func (d *base) loud(queue string) {
	_ = d.whole(context.Background(), step{ringAll, []any{d.schema, queue}, nil}) // else they do so in half a second
	d.bell.local(queue)
}
