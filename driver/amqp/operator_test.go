package amqp

import (
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

// operator is a broker whose operator has made all settings of settings.
type operator struct{ opener }

// refuses is the largest body that the operator allows, in bytes.
const refuses = 300_000

// policies are what the operator has set for queues, by how their names begin, and
// what becomes of 300 jobs: how many are confirmed at most, and how many then removed
// from a quorum queue and from a classic one.
var policies = []struct {
	name, parts, definition string
	confirmed               int
	removed, removedClassic int
}{
	{"length", ``, `{"max-length":100}`, 299, 0, 0},
	{"bytes", ``, `{"max-length-bytes":2000}`, 299, 0, 0},
	{"drop-head", `$`, `{"max-length":100,"overflow":"drop-head"}`, 300, 200, 0},
	{"dlx", `$`, `{"max-length":100,"overflow":"reject-publish-dlx"}`, 300, 200, 0},
	{"ttl", `$`, `{"message-ttl":200}`, 300, 300, 300},
	{"elsewhere", `$`, `{"message-ttl":200,"dead-letter-exchange":"amq.fanout","dead-letter-routing-key":"nowhere"}`, 300, 300, 300},
	{"limit", ``, `{"delivery-limit":2}`, 0, 0, 0},
	{"dead", `\\.dead$`, `{"message-ttl":400,"delivery-limit":1}`, 0, 0, 0},
	{"full", `$`, `{"max-length":1}`, 0, 0, 0},
}

// users are what the operator lets users do: configure, write and read. The first has
// what doc.go asks for, and each of the others lacks something.
var users = map[string][3]string{
	"least":        {`^batch\\.`, `^(batch\\.|amq\\.default$)`, `^batch\\.`},
	"no-read":      {`^batch\\.`, `^(batch\\.|amq\\.default$)`, `^$`},
	"no-write":     {`^batch\\.`, `^batch\\.`, `^batch\\.`},
	"no-configure": {`^$`, `^(batch\\.|amq\\.default$)`, `^batch\\.`},
}

// settings is one expression in Erlang for all of it: each start of rabbitmqctl takes
// a second. Channels look at the consumer timeout once a minute, unless told otherwise.
func settings() string {
	var b strings.Builder
	b.WriteString("application:set_env(rabbit, channel_tick_interval, 500)")
	for _, p := range policies {
		fmt.Fprintf(&b, `, ok = rabbit_policy:parse_set(<<"/">>, <<%q>>, <<"^batch\\.%s-[0-9-]*%s">>, <<%q>>, 0, <<"queues">>, <<"guest">>)`, p.name, p.name, p.parts, p.definition)
	}
	for name, r := range users {
		fmt.Fprintf(&b, `, rabbit_auth_backend_internal:add_user(<<%q>>, <<"word">>, <<"guest">>)`, name)
		fmt.Fprintf(&b, `, rabbit_auth_backend_internal:set_permissions(<<%q>>, <<"/">>, <<"%s">>, <<"%s">>, <<"%s">>, <<"guest">>)`, name, r[0], r[1], r[2])
	}
	return b.String() + "."
}

// queueOf declares a queue that the policies of a name apply to.
func queueOf(t testing.TB, d *base, policy string) string {
	t.Helper()
	q := fmt.Sprintf("%s-%d", policy, serial.Add(1))
	if err := d.Declare(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestOperator does to a broker what an operator may do to it, knowing nothing of
// batch: no confirmed job is lost without a word, whatever that is.
func TestOperator(t *testing.T) {
	for _, version := range brokers.RabbitMQVersions() {
		if version == brokers.RabbitMQ3 {
			continue // refused: TestOpenRefusesOldBrokers
		}
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			server := brokers.NewRabbitMQ(t, version, "consumer_timeout = 2000", fmt.Sprint("max_message_size = ", refuses))
			if out, err := server.Exec(testContext(t), "rabbitmqctl", "-q", "eval", settings()); err != nil || strings.Contains(out, "error") {
				t.Fatalf("%v: %s", err, out)
			}
			for _, s := range []shape{shapePlain, shapeClassic} {
				o := &operator{openerOf(server.URL(), s)}
				t.Run(string(s), func(t *testing.T) {
					for name, test := range map[string]func(*testing.T, *operator){
						"timeout": testTimeout, "policies": testPolicies, "delivery limit": testDeliveryLimit, "dead letters": testDeadLettersStay,
						"full": testDelayedWhileFull, "message size": testMessageSize, "rights": testRights,
					} {
						t.Run(name, func(t *testing.T) {
							t.Parallel()
							test(t, o)
						})
					}
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
	for _, p := range policies {
		if p.confirmed == 0 {
			continue // of another test
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			d := o.open(t)
			q := queueOf(t, d, p.name)
			stored := make(map[string]bool)
			for i := range jobs {
				m := message(fmt.Sprint(i))
				results := d.Enqueue(testContext(t), q, []*driver.Message{m})
				switch {
				case results == nil || results[0].Err == nil:
					stored[m.ID] = true
				case !errors.Is(results[0].Err, driver.ErrFull) || driver.FateOf(results[0].Err) != driver.FateNotStored:
					t.Fatalf("enqueue: %v", results[0].Err)
				}
			}
			removed, confirmed := p.removed, p.confirmed
			if o.shape == shapeClassic {
				if removed = p.removedClassic; removed == 0 {
					confirmed = jobs - 1
				}
			}
			if n := len(stored); n == 0 || n > confirmed {
				t.Errorf("%d of %d jobs were confirmed", n, jobs)
			}
			accounted(t, d, q, stored, removed)
		})
	}
}

// accounted waits until the stored jobs are waiting, but for some that are dead letters
// which say why, and checks that there are no others.
func accounted(t *testing.T, d *base, q string, stored map[string]bool, removed int) {
	t.Helper()
	poll(t, func() string {
		depth, err := d.Depth(testContext(t), q)
		if err != nil {
			t.Fatal(err)
		}
		if depth.Waiting != int64(len(stored)-removed) || depth.Dead != int64(removed) {
			return fmt.Sprintf("of %d confirmed jobs %d wait, and %d are dead, want %d", len(stored), depth.Waiting, depth.Dead, removed)
		}
		return ""
	})
	letters, _, err := d.DeadLetters(testContext(t), q, "", 1000)
	if err != nil || len(letters) != removed {
		t.Fatal(len(letters), err)
	}
	for _, l := range letters {
		if !stored[l.ID] || l.Reason != driver.ReasonRemoved || !strings.Contains(l.LastError, "policies") || time.Since(l.DeadAt) > time.Minute {
			t.Fatalf("a dead letter %+v", l)
		}
		delete(stored, l.ID)
	}
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
	if o.shape == shapeClassic {
		t.Skip("classic queues do not count deliveries")
	}
	q := queueOf(t, d, "limit")
	enqueue(t, d, q, message("a"))
	for range 3 {
		if got := receive(t, consume(t, d, q, 1)); got.ID != "a" {
			t.Fatalf("received %s", got.ID)
		}
		vanish(t, d)
	}
	poll(t, func() string {
		letters, _, err := d.DeadLetters(testContext(t), q, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(letters) == 0 {
			return "the job is gone"
		}
		if l := letters[0]; l.ID != "a" || l.Reason != driver.ReasonRemoved || !strings.Contains(l.LastError, "delivery_limit") {
			t.Errorf("the dead letter is %+v", l)
		}
		return ""
	})
}

// testDeadLettersStay has policies that empty the dead letters.
func testDeadLettersStay(t *testing.T, o *operator) {
	d := o.open(t)
	q := queueOf(t, d, "dead")
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
	q := queueOf(t, d, "full")
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
	as := func(user string) *base {
		u, err := url.Parse(o.url)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(user, "word")
		return openerOf(u.String(), o.shape).open(t)
	}
	d := as("least")
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

	_, err := as("no-read").Consume(testContext(t), q, driver.ConsumeOptions{Prefetch: 1})
	missingRight(t, "Consume", "read", err)
	forbidden := as("no-write")
	for _, r := range forbidden.Enqueue(testContext(t), q, []*driver.Message{message("a"), message("b"), message("c")}) {
		missingRight(t, "Enqueue", "write", r.Err)
	}
	missingRight(t, "Declare", "write", forbidden.Declare(testContext(t), q+"-2"))
	forbidden = as("no-configure")
	missingRight(t, "Declare", "configure", forbidden.Declare(testContext(t), q+"-3"))
	enqueue(t, forbidden, q, message("a")) // a queue that is declared needs no right to configure
}

// missingRight checks the error of a call for which the user lacks a right.
func missingRight(t *testing.T, what, right string, err error) {
	t.Helper()
	if !errors.Is(err, driver.ErrUnauthorized) || driver.FateOf(err) != driver.FateNotStored || !strings.Contains(err.Error(), right+" access") {
		t.Errorf("%s without the right to %s: %v (%s)", what, right, err, driver.FateOf(err))
	}
}
