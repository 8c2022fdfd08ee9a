package amqp

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// eachVersion runs a test on quorum queues of every version of the broker.
func eachVersion(t *testing.T, run func(t *testing.T, o opener)) {
	for _, version := range brokers.RabbitMQVersions() {
		if version != brokers.RabbitMQ3 { // refused: TestOpenRefusesOldBrokers
			t.Run(string(version), func(t *testing.T) { run(t, openerOf(brokers.RabbitMQ(t, version).URL(), shapePlain)) })
		}
	}
}

// Whatever part of a queue somebody removes while producers and workers have it open, in
// any of their processes, comes back with the next call that needs it.
func TestRemovedPartsComeBack(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, o opener) {
		t.Parallel()
		names := newNames("")
		parts := map[string][]string{
			"dead letters": {names.dead}, "hop queue": {names.hop}, "all delay queues": delayNames(names),
			"third delay queue": delayNames(names)[2:3],
		}
		for what, names := range parts {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				removeParts(t, o, names)
			})
		}
	})
}

// removeParts removes parts of a queue, named as those of the queue "", while two
// handles use it and know them.
func removeParts(t *testing.T, o opener, parts []string) {
	ctx := testContext(t)
	producer, worker := o.open(t), o.open(t)
	q := queue(t, producer)
	for _, d := range []*base{producer, worker} { // both know the delay queues
		enqueue(t, d, q, message("far", delay(maxDelay)))
		known, _ := d.delays.Load(q)
		<-known.(*delayQueues).made
	}
	c := consume(t, worker, q, 100)
	ch := raw(t, o.url)
	for _, part := range parts {
		if _, err := ch.QueueDelete(newNames(q).main+part[len(newNames("").main):], false, false, false); err != nil {
			t.Fatal(err)
		}
	}
	finished := make(chan map[string]int, 1)
	go func() { finished <- work(t, ctx, c, 30) }()
	hop := parts[0] == newNames("").hop
	for there := false; hop && !there; { // what expires before that waits for minutes
		there, _ = producer.exist(ctx, []string{newNames(q).hop})
	}
	for i := range 10 {
		enqueue(t, producer, q, message(fmt.Sprint("now", i)), message(fmt.Sprint("short", i), delay(70*time.Millisecond)), message(fmt.Sprint("longer", i), delay(300*time.Millisecond)))
	}
	for id, runs := range <-finished {
		if runs != 2 {
			t.Errorf("%s ran %d times", id, runs)
		}
	}
	// To the level that was removed.
	enqueue(t, producer, q, message("again", delay(maxDelay)))
	for _, part := range parts {
		for there := false; !there; {
			var err error
			if there, err = producer.exist(ctx, []string{newNames(q).main + part[len(newNames("").main):]}); err != nil {
				t.Fatalf("%s does not come back: %v", part, err)
			}
		}
	}
	if page, _, err := producer.DeadLetters(ctx, q, "", 100); err != nil || len(page) != 10 {
		t.Errorf("%d dead letters: %v", len(page), err)
	}
	if n, err := worker.Redrive(ctx, q, driver.Selection{All: true}); err != nil || n != 10 {
		t.Errorf("redriven: %d, %v", n, err)
	}
	if _, err := producer.Depth(ctx, q); err != nil {
		t.Error(err)
	}
}

// work runs jobs until some have run for the second time, and returns how often each
// ran: first they fail, and are tried again after a delay; then they are done, or dead.
func work(t testing.TB, ctx context.Context, c driver.Consumer, jobs int) map[string]int {
	runs := map[string]int{}
	for left := jobs; left > 0; {
		got, err := c.Receive(ctx, 10)
		if err != nil {
			if ctx.Err() != nil {
				t.Errorf("left are %d jobs: %v", left, err)
				return runs
			}
			continue
		}
		for _, d := range got {
			runs[d.ID]++
			s := driver.Settlement{Delivery: d, Outcome: driver.OutcomeRetry, Delay: 70 * time.Millisecond, Failures: 1}
			if d.Failures > 0 {
				left--
				s.Outcome, s.Delay = driver.OutcomeDone, 0
				if d.ID[:3] == "now" {
					s.Outcome, s.Reason = driver.OutcomeDead, driver.ReasonPermanent
				}
			}
			if errs := c.Settle(ctx, []driver.Settlement{s}); errs != nil {
				t.Errorf("settle %s as %s: %v", d.ID, s.Outcome, errs[0])
			}
		}
	}
	return runs
}

// A part that was removed comes back from the dead letters' side, too, and with nobody
// who consumes; and that of a queue that was deleted does not.
func TestRemovedPartsWithoutConsumer(t *testing.T) {
	eachVersion(t, func(t *testing.T, o opener) {
		ctx := testContext(t)
		d := o.open(t)
		q := queue(t, d)
		n := newNames(q)
		ch := raw(t, o.url)
		remove := func(name string) {
			t.Helper()
			if _, err := ch.QueueDelete(name, false, false, false); err != nil {
				t.Fatal(err)
			}
		}
		remove(n.dead)
		remove(n.hop)
		if depth, err := d.Depth(ctx, q); err != nil || depth.Dead != 0 || depth.Scheduled != 0 {
			t.Errorf("the depth without two parts: %+v, %v", depth, err)
		}
		if page, _, err := d.DeadLetters(ctx, q, "", 10); err != nil || len(page) != 0 {
			t.Errorf("dead letters of which the queue was removed: %v, %v", page, err)
		}
		remove(n.dead)
		bury(t, d, q, 3)
		remove(n.hop)
		enqueue(t, d, q, message("a", delay(10*time.Millisecond)))
		for { // on its way from one queue to another a job may be in none that is counted, or in both
			depth, err := d.Depth(ctx, q)
			if err == nil && depth.Dead == 3 && depth.Scheduled == 1 {
				break
			}
			if err != nil {
				t.Fatalf("the depth when the parts are back: %+v, %v", depth, err)
			}
		}
		remove(n.main)
		remove(n.dead)
		remove(n.hop)
		for _, r := range d.Import(ctx, q, []*driver.Entry{{Message: *message("dead"), State: driver.StateDead, Reason: driver.ReasonPermanent}}) {
			notFound(t, "Import", r.Err)
		}
		if _, err := d.Consume(ctx, q, driver.ConsumeOptions{Prefetch: 1}); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("consume from a queue that was deleted: %v", err)
		}
		absent(t, o.url, q)
	})
}
