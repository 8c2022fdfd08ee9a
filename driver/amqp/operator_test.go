package amqp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// operator is what the operator of a broker can do to it.
type operator struct {
	opener
	server *brokers.Instance
}

// ctl runs rabbitmqctl.
func (o *operator) ctl(t testing.TB, args ...string) {
	t.Helper()
	if out, err := o.server.Exec(testContext(t), append([]string{"rabbitmqctl", "-q"}, args...)...); err != nil {
		t.Fatalf("%v: %v %s", args, err, out)
	}
}

// policy sets a policy for a test, on the broker's queues that a pattern matches, and
// returns when it is in effect.
func (o *operator) policy(t testing.TB, pattern, definition string) {
	t.Helper()
	name := fmt.Sprint("p", serial.Add(1))
	o.ctl(t, "set_policy", name, pattern, definition)
	t.Cleanup(func() { o.ctl(t, "clear_policy", name) })
}

// refuses is the largest body that the operator allows, in bytes.
const refuses = 300_000

// TestOperator does to a broker what an operator may do to it, knowing nothing of
// batch: no confirmed job is lost without a word, whatever that is.
func TestOperator(t *testing.T) {
	for _, version := range brokers.RabbitMQVersions() {
		if version == brokers.RabbitMQ3 {
			continue // refused: TestOpenRefusesOldBrokers
		}
		t.Run(string(version), func(t *testing.T) {
			server := brokers.NewRabbitMQ(t, version, "consumer_timeout = 2000", "channel_tick_interval = 500", fmt.Sprint("max_message_size = ", refuses))
			for _, s := range []shape{shapePlain, shapeClassic} {
				o := &operator{openerOf(server.URL(), s), server}
				t.Run(string(s), func(t *testing.T) {
					t.Run("timeout", func(t *testing.T) { t.Parallel(); testTimeout(t, o) })
					t.Run("policies", func(t *testing.T) { t.Parallel(); testPolicies(t, o) })
					t.Run("delivery limit", func(t *testing.T) { t.Parallel(); testDeliveryLimit(t, o) })
					t.Run("dead letters", func(t *testing.T) { t.Parallel(); testDeadLettersStay(t, o) })
					t.Run("full", func(t *testing.T) { t.Parallel(); testDelayedWhileFull(t, o) })
					t.Run("message size", func(t *testing.T) { t.Parallel(); testMessageSize(t, o) })
					t.Run("rights", func(t *testing.T) { t.Parallel(); testRights(t, o) })
				})
			}
		})
	}
}

// testTimeout holds a job for longer than the broker's consumer_timeout.
func testTimeout(t *testing.T, o *operator) {
	d := o.open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("long"), message("other"))
	c := consume(t, d, q, 2)
	long, other := receive(t, c), receive(t, c)
	// The same on a queue without the driver's arguments. When that has lost its
	// channel, the job was held for at least as long.
	ch := raw(t, o.url)
	ended := ch.NotifyClose(make(chan *amqp091.Error, 1))
	if _, err := ch.QueueDeclare(q+".control", true, false, false, false, amqp091.Table{"x-queue-type": "quorum"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = raw(t, o.url).QueueDelete(q+".control", false, false, false) })
	if err := ch.Publish("", q+".control", false, false, amqp091.Publishing{}); err != nil {
		t.Fatal(err)
	}
	cancelled := ch.NotifyCancel(make(chan string, 1)) // as of 4.3 the consumer ends, and not the channel
	taken, err := ch.Consume(q+".control", "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-taken
	select {
	case err := <-ended:
		t.Logf("the control: %v", err)
	case <-cancelled:
		t.Log("the control's consumer was cancelled")
	case <-time.After(bound):
		t.Fatal("the broker does not end the control")
	}
	for _, err := range c.Extend(testContext(t), []*driver.Delivery{long, other}) {
		t.Errorf("a job was held for too long: %v", err)
	}
	settle(t, c, driver.Settlement{Delivery: long, Outcome: driver.OutcomeDone})
	settle(t, c, driver.Settlement{Delivery: other, Outcome: driver.OutcomeDone})
}

// testPolicies enqueues more than a policy has room for, or keeps for.
func testPolicies(t *testing.T, o *operator) {
	const jobs = 300
	for _, c := range []struct{ parts, definition string }{
		{"all", `{"max-length":100}`},
		{"main", `{"max-length":100,"overflow":"drop-head"}`},
		{"main", `{"max-length":100,"overflow":"reject-publish-dlx"}`},
		{"all", `{"max-length-bytes":2000}`},
		{"main", `{"message-ttl":200}`},
		{"main", `{"message-ttl":200,"dead-letter-exchange":"amq.fanout","dead-letter-routing-key":"nowhere"}`},
	} {
		t.Run(c.definition, func(t *testing.T) {
			d := o.open(t)
			q := queue(t, d)
			pattern := `^batch\.` + q
			if c.parts == "main" {
				pattern += "$"
			}
			o.policy(t, pattern, c.definition)
			stored := make(map[string]bool)
			for i := range jobs {
				m := message(fmt.Sprint(i))
				for _, r := range append(d.Enqueue(testContext(t), q, []*driver.Message{m}), driver.Result{})[:1] {
					switch {
					case r.Err == nil:
						stored[m.ID] = true
					case !errors.Is(r.Err, driver.ErrFull) || driver.FateOf(r.Err) != driver.FateNotStored:
						t.Fatalf("enqueue: %v", r.Err)
					}
				}
			}
			accounted(t, d, q, stored)
		})
	}
}

// accounted waits until each of the stored jobs is waiting or a dead letter that says
// why, and checks that there are no others.
func accounted(t *testing.T, d *base, q string, stored map[string]bool) {
	t.Helper()
	if len(stored) == 0 {
		t.Fatal("nothing was stored")
	}
	poll(t, func() string {
		depth, err := d.Depth(testContext(t), q)
		if err != nil {
			t.Fatal(err)
		}
		if n := depth.Waiting + depth.Dead; n != int64(len(stored)) {
			return fmt.Sprintf("of %d confirmed jobs there are %d", len(stored), n)
		}
		return ""
	})
	letters, _, err := d.DeadLetters(testContext(t), q, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		if !stored[l.ID] || l.Reason != driver.ReasonRemoved || !strings.Contains(l.LastError, "policies") || time.Since(l.DeadAt) > time.Minute {
			t.Fatalf("a dead letter %+v", l)
		}
		delete(stored, l.ID)
	}
	if n, err := d.Redrive(testContext(t), q, driver.Selection{All: true}); n != len(letters) && !errors.Is(err, driver.ErrFull) {
		t.Errorf("redrive of %d: %d, %v", len(letters), n, err)
	}
	t.Logf("%d waited, %d were removed", len(stored), len(letters))
}

// poll waits until look finds nothing missing.
func poll(t testing.TB, look func() (missing string)) {
	t.Helper()
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	deadline := time.After(bound)
	for {
		missing := look()
		if missing == "" {
			return
		}
		select {
		case <-ticks.C:
		case <-deadline:
			t.Fatal(missing)
		}
	}
}

// testDeliveryLimit loses the holder of a job more often than a policy allows.
func testDeliveryLimit(t *testing.T, o *operator) {
	d := o.open(t)
	q := queue(t, d)
	o.policy(t, `^batch\.`+q, `{"delivery-limit":2}`)
	enqueue(t, d, q, message("a"))
	for n := 1; ; n++ {
		c := consume(t, d, q, 1)
		ctx, cancel := context.WithTimeout(testContext(t), time.Second)
		got, err := c.Receive(ctx, 1)
		cancel()
		if err != nil || n == 5 {
			break
		}
		if n == 1 {
			t.Logf("received for the time %d", got[0].Deliveries)
		}
		vanish(t, d)
	}
	poll(t, func() string {
		depth, err := d.Depth(testContext(t), q)
		if err != nil || depth.Waiting+depth.Dead != 1 && depth.Waiting+depth.Dead != 0 {
			t.Fatal(depth, err)
		}
		if depth.Waiting+depth.Dead == 1 {
			return ""
		}
		c := consume(t, d, q, 1) // a classic queue counts nothing: it is held
		defer func() { _ = c.Close(testContext(t)) }()
		return "the job is gone"
	})
}

// testDeadLettersStay has policies that empty the dead letters.
func testDeadLettersStay(t *testing.T, o *operator) {
	d := o.open(t)
	q := queue(t, d)
	c := consume(t, d, q, 1)
	enqueue(t, d, q, message("a"))
	settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent, Error: "no", Failures: 3})
	depth := func() int64 {
		depth, err := d.Depth(testContext(t), q)
		if err != nil {
			t.Fatal(err)
		}
		return depth.Dead
	}
	o.policy(t, `^batch\.`+q+`\.dead$`, `{"message-ttl":400,"delivery-limit":1}`)
	poll(t, func() string {
		if depth() == 0 {
			return ""
		}
		return "the policy has no effect"
	})
	for range 3 { // each listing may count as a delivery
		poll(t, func() string {
			letters, _, err := d.DeadLetters(testContext(t), q, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(letters) == 0 {
				return "the dead letter is gone"
			}
			if l := letters[0]; l.ID != "a" || l.Reason != driver.ReasonPermanent || l.LastError != "no" || l.Failures != 3 {
				t.Fatalf("the dead letter is %+v", l)
			}
			return ""
		})
	}
}

// testDelayedWhileFull has a job fall due while its queue is at its maximum.
func testDelayedWhileFull(t *testing.T, o *operator) {
	d := o.open(t)
	q := queue(t, d)
	o.policy(t, `^batch\.`+q+`$`, `{"max-length":1}`)
	enqueue(t, d, q, message("late", delay(200*time.Millisecond)))
	poll(t, func() string {
		if r := d.Enqueue(testContext(t), q, []*driver.Message{message("room")}); r != nil && errors.Is(r[0].Err, driver.ErrFull) {
			return ""
		}
		return "the queue has room for all"
	})
	c := consume(t, d, q, 1)
	for came := false; !came; {
		got := receive(t, c)
		came = got.ID == "late"
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	}
}

// testMessageSize has jobs that are larger than the broker takes, among others.
func testMessageSize(t *testing.T, o *operator) {
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprint("taken for granted ", known), func(t *testing.T) {
			d := o.open(t)
			if known {
				d.sizes.taken.Store(1 << 30)
			}
			q := queue(t, d)
			const callers, jobs = 8, 100
			var calls sync.WaitGroup
			unknown := make([]int, callers)
			for k := range callers {
				calls.Go(func() {
					messages := make([]*driver.Message, jobs)
					for i := range messages {
						messages[i] = message(fmt.Sprint(k, "-", i))
					}
					messages[jobs/2].Body = make([]byte, refuses+1+k)
					messages[jobs/3].Body = make([]byte, refuses)
					for i, r := range d.Enqueue(testContext(t), q, messages) {
						switch {
						case i == jobs/2 && (!errors.Is(r.Err, driver.ErrTooLarge) || driver.FateOf(r.Err) != driver.FateNotStored):
							t.Errorf("too large: %v", r.Err)
						case i != jobs/2 && r.Err != nil && known && driver.FateOf(r.Err) == driver.FateUnknown:
							unknown[k]++ // was under way before the one that is too large
						case i != jobs/2 && r.Err != nil:
							t.Errorf("a neighbour: %v", r.Err)
						}
					}
				})
			}
			calls.Wait()
			lost := 0
			for _, n := range unknown {
				lost += n
			}
			t.Logf("%d of %d neighbours may be stored", lost, callers*(jobs-1))
			depth, err := d.Depth(testContext(t), q)
			if err != nil || depth.Waiting < callers*(jobs-1)-int64(lost) || depth.Waiting > callers*(jobs-1) {
				t.Errorf("%d of %d neighbours are stored, %v", depth.Waiting, callers*(jobs-1), err)
			}
		})
	}
}

// testRights runs the calls with the rights of doc.go, and with one of them missing.
func testRights(t *testing.T, o *operator) {
	user := fmt.Sprint("u", serial.Add(1))
	o.ctl(t, "add_user", user, "word")
	t.Cleanup(func() { o.ctl(t, "delete_user", user) })
	u, err := url.Parse(o.url)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, "word")
	as := openerOf(u.String(), o.shape)
	set := func(configure, write, read string) { o.ctl(t, "set_permissions", user, configure, write, read) }
	const configure, write, read = `^batch\.`, `^(batch\.|amq\.default$)`, `^batch\.`
	set(configure, write, read)
	d := as.open(t)
	q := queue(t, d)
	c := consume(t, d, q, 1)
	enqueue(t, d, q, message("a"), message("b", delay(100*time.Millisecond)))
	settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent})
	settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeRetry, Delay: 100 * time.Millisecond})
	settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDone})
	if n, err := d.Redrive(testContext(t), q, driver.Selection{All: true}); n != 1 || err != nil {
		t.Errorf("redrive: %d, %v", n, err)
	}
	if err := c.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	if n, err := d.Purge(testContext(t), q); n != 1 || err != nil {
		t.Errorf("purge: %d, %v", n, err)
	}

	set(configure, write, `^$`)
	d = as.open(t)
	_, err = d.Consume(testContext(t), q, driver.ConsumeOptions{Prefetch: 1})
	missingRight(t, "Consume", "read", err)
	set(configure, `^batch\.`, read)
	d = as.open(t)
	for _, r := range d.Enqueue(testContext(t), q, []*driver.Message{message("a"), message("b"), message("c")}) {
		missingRight(t, "Enqueue", "write", r.Err)
	}
	missingRight(t, "Declare", "write", d.Declare(testContext(t), q+"-2"))
	set(`^$`, write, read)
	d = as.open(t)
	missingRight(t, "Declare", "configure", d.Declare(testContext(t), q+"-3"))
	enqueue(t, d, q, message("a")) // declared queues need no right to configure
	set(configure, write, read)
}

// missingRight checks the error of a call for which the user lacks a right.
func missingRight(t *testing.T, what, right string, err error) {
	t.Helper()
	if !errors.Is(err, driver.ErrUnauthorized) || driver.FateOf(err) != driver.FateNotStored || !strings.Contains(err.Error(), right+" access") {
		t.Errorf("%s without the right to %s: %v (%s)", what, right, err, driver.FateOf(err))
	}
}
