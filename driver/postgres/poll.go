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

// forgetEvery is how often keys are removed: 500 a second and driver.
const forgetEvery = 10 * time.Second

// poll looks for what no notification tells: one that was lost, a delay that is over, a lease whose holder has
// vanished, a queue that was deleted. It is one statement for all consumers of the driver, until close.
func (d *base) poll() {
	ticker := time.NewTicker(idlePoll)
	defer ticker.Stop()
	for {
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
		if err != nil { // each has to find out for itself
			for _, queue := range queues {
				d.bell.local(queue)
			}
		}
	}
}

// forget removes keys from time to time, until close. It is no part of poll, as a server that is slow with it must not hold up
// those who wait for jobs.
func (d *base) forget() {
	timer := time.NewTimer(idlePoll) // the first time soon, for processes that end soon
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.bell.done:
			return
		}
		_ = d.whole(context.Background(), step{forgetKeys, nil, nil}) // else the next time
		timer.Reset(forgetEvery)
	}
}

// queues are those of which a Receive waits.
func (b *bell) queues() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.wakers))
}

// ringEach wakes those who wait for jobs of some queues, in all processes.
var ringEach = newStatement(`SELECT pg_notify($1::text, n.name) FROM unnest($2::text[]) AS n (name) WHERE ` + roomToRing)

// loud wakes those who wait for jobs of some queues, in all processes.
func (d *base) loud(queues []string) {
	if d.bell.audible() {
		_ = d.whole(context.Background(), step{ringEach, []any{d.schema, queues}, nil}) // else they do so in half a second
	}
	for _, queue := range queues {
		d.bell.local(queue)
	}
}
