package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// full makes the dead letters of a queue refuse whatever comes, as a policy with a
// maximum length does.
func full(t testing.TB, url, queue string) {
	t.Helper()
	ch, name := raw(t, url), newNames(queue).dead
	if _, err := ch.QueueDelete(name, false, false, false); err != nil {
		t.Fatal(err)
	}
	args := amqp091.Table{"x-queue-type": "classic", "x-max-length": int64(0), "x-overflow": "reject-publish"}
	if err := declare(ch, name, args); err != nil {
		t.Fatal(err)
	}
}

// room makes them as they were.
func room(t testing.TB, url, queue string) {
	t.Helper()
	ch, n := raw(t, url), newNames(queue)
	if _, err := ch.QueueDelete(n.dead, false, false, false); err != nil {
		t.Fatal(err)
	}
	if err := declare(ch, n.dead, quorumArgs(n.hop)); err != nil {
		t.Fatal(err)
	}
}

// take receives a number of jobs.
func take(t testing.TB, c driver.Consumer, n int) []*driver.Delivery {
	t.Helper()
	var all []*driver.Delivery
	for len(all) < n {
		got, err := c.Receive(testContext(t), min(n-len(all), batchSize))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got...)
	}
	return all
}

// One settlement that the broker refuses fails alone, and what it concerns can be
// given up.
func TestRefusedSettlementFailsAlone(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		q := queue(t, d)
		full(t, o.url, q)
		for _, id := range []string{"done", "dead", "retry", "release"} {
			enqueue(t, d, q, message(id))
		}
		c := consume(t, d, q, 4)
		var settlements []driver.Settlement
		for _, got := range take(t, c, 4) {
			s := driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone}
			switch got.ID {
			case "dead":
				s.Outcome, s.Reason = driver.OutcomeDead, driver.ReasonPermanent
			case "retry":
				s.Outcome, s.Failures, s.Delay = driver.OutcomeRetry, 1, time.Hour
			case "release":
				s.Outcome = driver.OutcomeRelease
			}
			settlements = append(settlements, s)
		}
		errs := c.Settle(testContext(t), settlements)
		var held *driver.Delivery
		for i, s := range settlements {
			if s.Outcome == driver.OutcomeDead {
				held = s.Delivery
				if errs == nil || !errors.Is(errs[i], driver.ErrFull) {
					t.Errorf("settle as dead where there is no room: %v", errs)
				}
			} else if errs != nil && errs[i] != nil {
				t.Errorf("settle %s beside one that is refused: %v", s.Outcome, errs[i])
			}
		}
		if errs := c.Extend(testContext(t), []*driver.Delivery{held}); errs != nil {
			t.Errorf("what was refused is not held any more: %v", errs)
		}
		c.Abandon(testContext(t), []*driver.Delivery{held})
		if errs := c.Extend(testContext(t), []*driver.Delivery{held}); errs == nil {
			t.Error("what was given up is still held")
		}
		c.Abandon(testContext(t), []*driver.Delivery{held, nil})
		ids := map[string]int{}
		for _, got := range take(t, c, 2) {
			ids[got.ID]++
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		}
		if ids["release"] != 1 || ids["dead"] != 1 {
			t.Errorf("came back: %v", ids)
		}
	})
}

// A dead letter is stripped if that was asked for.
func TestStrippedDeadLetter(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("a", func(m *driver.Message) { m.Headers = map[string]string{"large": "value"} }))
	c := consume(t, d, q, 1)
	settle(t, c, driver.Settlement{
		Delivery: receive(t, c), Outcome: driver.OutcomeDead, Reason: driver.ReasonTooLarge, Failures: 1, Error: "without its headers", Strip: true,
	})
	page, _, err := d.DeadLetters(testContext(t), q, "", 1)
	if err != nil || len(page) != 1 {
		t.Fatal(page, err)
	}
	if got := page[0]; got.Headers != nil || got.ID != "a" || string(got.Body) != string(message("a").Body) || got.LastError != "without its headers" || got.Reason != driver.ReasonTooLarge {
		t.Errorf("the dead letter is %+v", got)
	}
}

// alarm has a broker be short of memory, and returns what ends that. It waits until the
// broker has blocked the publishing connection of d.
func alarm(t testing.TB, server *brokers.Instance, d *base, q string) (end func()) {
	t.Helper()
	watermark := func(share string) {
		t.Helper()
		if _, err := server.Exec(testContext(t), "rabbitmqctl", "set_vm_memory_high_watermark", share); err != nil {
			t.Fatal(err)
		}
	}
	watermark("0.0000001")
	for stop := time.Now().Add(bound); !d.isBlocked(); { // it does when something is published
		ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
		for _, r := range d.Enqueue(ctx, q, []*driver.Message{message("trigger")}) {
			if r.Err != nil && !errors.Is(r.Err, context.DeadlineExceeded) {
				t.Fatal(r.Err)
			}
		}
		cancel()
		if time.Now().After(stop) {
			t.Fatal("the broker does not block")
		}
	}
	return func() { t.Helper(); watermark("0.6") }
}

// While the broker takes no messages, jobs that are done are acknowledged beside those
// that cannot be settled; what is given up is handed out again; and entries that are no
// jobs, which can be kept nowhere, take no job its place.
func TestSettleInAnAlarm(t *testing.T) {
	t.Parallel()
	for _, version := range brokers.RabbitMQVersions() {
		if version == brokers.RabbitMQ3 {
			continue
		}
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			server := brokers.NewRabbitMQ(t, version)
			for _, s := range []shape{shapePlain, shapeClassic} {
				t.Run(string(s), func(t *testing.T) { settleInAnAlarm(t, server, openerOf(server.URL(), s)) })
			}
		})
	}
}

func settleInAnAlarm(t *testing.T, server *brokers.Instance, o opener) {
	const prefetch = 8
	ctx := testContext(t)
	d, producer := o.open(t), o.open(t)
	q, other := queue(t, d), queue(t, d)
	for i := range prefetch {
		enqueue(t, producer, q, message(fmt.Sprint(i)))
	}
	c := consume(t, d, q, prefetch)
	held := take(t, c, prefetch)
	ch := raw(t, o.url)
	for range prefetch { // they come when there is room for them
		if err := ch.PublishWithContext(ctx, "", newNames(q).main, true, false, amqp091.Publishing{Body: []byte("no job")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lookUp(ch, newNames(q).main); err != nil { // they were published before this
		t.Fatal(err)
	}
	end := alarm(t, server, d, other)
	failing := make(chan []error, 1)
	trying, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		failing <- c.Settle(trying, []driver.Settlement{
			{Delivery: held[0], Outcome: driver.OutcomeRetry, Failures: 1},
			{Delivery: held[1], Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent},
			{Delivery: held[2], Outcome: driver.OutcomeDone},
		})
	}()
	// All jobs are held, so that there is nothing to receive but the report of an entry
	// that is stuck. The broker sends the first one when it has the acknowledgement.
	if got, err := c.Receive(ctx, 1); err == nil {
		t.Fatalf("received %+v", got[0])
	} else if ctx.Err() != nil {
		t.Fatalf("what is done waits for what cannot be stored: %v", err)
	}
	settle(t, c, driver.Settlement{Delivery: held[3], Outcome: driver.OutcomeDone})
	select {
	case errs := <-failing:
		t.Fatalf("what cannot be stored: %v", errs)
	default:
	}
	cancel()
	errs := <-failing
	if errs == nil || !errors.Is(errs[0], context.Canceled) || driver.FateOf(errs[0]) != driver.FateNotStored || errs[1] == nil || errs[2] != nil {
		t.Fatalf("a retry, a dead letter and a job that is done: %v", errs)
	}
	for i := 4; i < prefetch; i++ {
		settle(t, c, driver.Settlement{Delivery: held[i], Outcome: driver.OutcomeDone})
	}
	c.Abandon(ctx, held[:2])
	back := map[string]bool{}
	for len(back) < 2 {
		got, err := c.Receive(ctx, prefetch)
		if err != nil {
			if ctx.Err() != nil {
				t.Fatal(err)
			}
			continue // of the entries that are stuck
		}
		for _, delivery := range got {
			back[delivery.ID] = true
		}
		if errs := c.Settle(ctx, []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeDone}}); errs != nil {
			t.Fatal(errs)
		}
	}
	if !back[held[0].ID] || !back[held[1].ID] {
		t.Errorf("came back: %v", back)
	}
	end()
	enqueue(t, producer, q, message("after"))
	for after := false; !after; {
		got, err := c.Receive(ctx, 1)
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		if err == nil { // else of the entries that are stuck
			after = got[0].ID == "after"
			settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDone})
		}
	}
	for depth := (driver.Depth{}); depth.Dead < prefetch; {
		var err error
		if depth, err = d.Depth(ctx, q); err != nil {
			t.Fatalf("%+v: %v", depth, err)
		}
	}
}

// Entries that are no jobs and fit nowhere are reported, and keep no place from the
// jobs behind them; they are kept when there is room.
func TestStuckEntries(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	full(t, testURL(t), q)
	ch := raw(t, testURL(t))
	const entries = 7
	for range entries {
		if err := ch.PublishWithContext(testContext(t), "", newNames(q).main, true, false, amqp091.Publishing{Body: []byte("no job")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lookUp(ch, newNames(q).main); err != nil { // they were published before this
		t.Fatal(err)
	}
	enqueue(t, d, q, message("a"), message("b"), message("c"))
	c := consume(t, d, q, 2)
	reported, ids := 0, []string(nil)
	for len(ids) < 3 {
		got, err := c.Receive(testContext(t), 1)
		if err != nil {
			if !errors.Is(err, driver.ErrFull) {
				t.Fatal(err)
			}
			reported++
			continue
		}
		ids = append(ids, got[0].ID)
		settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDone})
	}
	slices.Sort(ids)
	if fmt.Sprint(ids) != "[a b c]" || reported == 0 {
		t.Errorf("received %v, and of the entries that fit nowhere was reported %d times", ids, reported)
	}
	room(t, testURL(t), q)
	for depth := (driver.Depth{}); depth.Dead < entries; {
		var err error
		if depth, err = d.Depth(testContext(t), q); err != nil {
			t.Fatal(err)
		}
	}
	s := c.(*consumer).session
	s.replacements.Wait()
	if s.held != (receipts{}) || len(s.stuck) > 0 {
		t.Errorf("kept is %+v, and stuck are %d", s.held, len(s.stuck))
	}
}

// A job that fits only without a history, as of a producer that is not batch, stays held
// when that does not fit, and can be kept without its headers.
func TestHistoryThatDoesNotFit(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	large := amqp091.Publishing{MessageId: "large", Type: "test", Headers: amqp091.Table{"large": ""}}
	large.Headers["large"] = strings.Repeat("x", d.room-propertiesSize(&large)-100)
	if err := raw(t, testURL(t)).PublishWithContext(testContext(t), "", newNames(q).main, true, false, large); err != nil {
		t.Fatal(err)
	}
	enqueue(t, d, q, message("small"))
	c := consume(t, d, q, 2)
	settlements := make([]driver.Settlement, 2)
	for _, got := range take(t, c, 2) {
		i := 0
		if got.ID == "small" {
			i = 1
		}
		settlements[i] = driver.Settlement{Delivery: got, Outcome: driver.OutcomeRetry, Failures: 1, Error: strings.Repeat("e", 2048)}
	}
	errs := c.Settle(testContext(t), settlements)
	if errs == nil || !errors.Is(errs[0], driver.ErrTooLarge) || driver.FateOf(errs[0]) != driver.FateNotStored || errs[1] != nil {
		t.Fatalf("a history that does not fit, and one that does: %v", errs)
	}
	settle(t, c, driver.Settlement{Delivery: settlements[0].Delivery, Outcome: driver.OutcomeDead, Reason: driver.ReasonTooLarge, Failures: 1, Error: "without", Strip: true})
	if page, _, err := d.DeadLetters(testContext(t), q, "", 10); err != nil || len(page) != 1 || page[0].ID != "large" {
		t.Errorf("the dead letters: %+v, %v", page, err)
	}
}
