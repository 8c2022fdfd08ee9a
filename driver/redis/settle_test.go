package redis

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// oneOfEach settles five deliveries in each way there is.
func oneOfEach(got []*driver.Delivery) []driver.Settlement {
	return []driver.Settlement{
		{Delivery: got[0], Outcome: driver.OutcomeRetry, Failures: 1, Delay: time.Hour, Error: strings.Repeat("e", 2000)},
		{Delivery: got[1], Outcome: driver.OutcomeDead, Reason: driver.ReasonAttempts, Error: strings.Repeat("e", 2000)},
		{Delivery: got[2], Outcome: driver.OutcomeRelease},
		{Delivery: got[3], Outcome: driver.OutcomeDone},
		{Delivery: got[4], Outcome: driver.OutcomeRetry, Failures: 1},
	}
}

// TestSettleOnAFullServer: a server at its maxmemory refuses to store new jobs, and
// nothing of a settlement, so that it gets room again.
func TestSettleOnAFullServer(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	d, r := openAt(t, server.URL()), rawAt(t, server.URL())
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, many(6)...)
	enqueue(t, d, q, many(3, oneGroup)...)
	got := receive(t, c, 7)
	if err := r.ConfigSet(testContext(t), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	if err := d.Enqueue(testContext(t), q, many(1))[0].Err; !errors.Is(err, driver.ErrFull) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("enqueue: %v", err)
	}
	settle(t, c, oneOfEach(got)...)
	done(t, c, got[5:]...)
	depth(t, d, q, driver.Depth{Waiting: 4, Scheduled: 1, Dead: 1})
	if err := r.ConfigSet(testContext(t), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
}

// TestSettlementsAreIndependent: one that cannot be stored is an error of its own and
// still held, and the others are carried out.
func TestSettlementsAreIndependent(t *testing.T) {
	for broken, failing := range map[string]map[int]bool{"dead": {1: true}, "due": {0: true}, "normal-back": {2: true}} {
		t.Run(broken, func(t *testing.T) {
			d, r := open(t), raw(t)
			q := queue(t, d)
			ctx := testContext(t)
			c := consume(t, d, q, time.Minute)
			enqueue(t, d, q, many(5)...)
			got := receive(t, c, 5)
			key := d.names(q).prefix + broken
			if err := r.Set(ctx, key, "foreign", 0).Err(); err != nil {
				t.Fatal(err)
			}
			all := oneOfEach(got)
			errs := c.Settle(ctx, all)
			for i := range all {
				var err error
				if errs != nil {
					err = errs[i]
				}
				if failing[i] != (err != nil) || err != nil && (!errors.Is(err, driver.ErrConflict) || driver.FateOf(err) != driver.FateNotStored) {
					t.Errorf("%s: %v, %s", all[i].Outcome, err, driver.FateOf(err))
				}
			}
			if n := r.HLen(ctx, d.names(q).prefix+"bodies").Val(); broken == "due" && n != 0 {
				t.Errorf("%d bodies are left behind", n)
			}
			r.Del(ctx, key)
			for i := range failing {
				if errs := c.Extend(ctx, got[i:i+1]); errs != nil {
					t.Errorf("it is not held: %v", errs)
				}
				settle(t, c, all[i])
			}
		})
	}
}

// TestNothingIsLostToAForeignKey: a job whose stream is a key of somebody else stays where it
// was, whether it is due or the next of its group, and goes on when the key is gone.
func TestNothingIsLostToAForeignKey(t *testing.T) {
	d, r := open(t), raw(t)
	ctx := testContext(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("first", group("g")), message("second", group("g"), level(driver.High)))
	held := receive(t, c, 1)
	high := streamKey(d, q, driver.High)
	if err := r.Set(ctx, high, "foreign", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeDead} {
		errs := c.Settle(ctx, []driver.Settlement{{Delivery: held[0], Outcome: outcome, Reason: driver.ReasonPermanent}})
		if len(errs) != 1 || !errors.Is(errs[0], driver.ErrConflict) || driver.FateOf(errs[0]) != driver.FateNotStored {
			t.Errorf("%s with a foreign key in the way: %v", outcome, errs)
		}
	}
	enqueue(t, d, q, message("due", level(driver.High), delay(time.Millisecond)))
	eventually(t, "the delay to end", func() bool {
		_, err := c.fetcher.fetch(1)
		return errors.Is(err, driver.ErrConflict)
	})
	for range 3 {
		if _, err := c.fetcher.fetch(1); !errors.Is(err, driver.ErrConflict) {
			t.Errorf("receive with a foreign key in the way: %v", err)
		}
	}
	if n := r.HLen(ctx, d.names(q).prefix+"bodies").Val(); n != 2 {
		t.Errorf("%d bodies are kept, want 2", n)
	}
	r.Del(ctx, high)
	settle(t, c, driver.Settlement{Delivery: held[0], Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent})
	done(t, c, receive(t, c, 2)...)
	depth(t, d, q, driver.Depth{Dead: 1})
}

// TestStrip: a dead letter without what it can be read without.
func TestStrip(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a", func(m *driver.Message) {
		m.Headers, m.ContentType, m.MaxAttempts = map[string]string{"big": "value"}, "text/plain", 3
	}))
	got := receive(t, c, 1)
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDead, Strip: true, Reason: driver.ReasonTooLarge, Error: "headers are missing"})
	dead, _, err := d.DeadLetters(testContext(t), q, "", 10)
	if err != nil || len(dead) != 1 || dead[0].Headers != nil || dead[0].ContentType != "text/plain" || string(dead[0].Body) != string(got[0].Body) ||
		dead[0].Reason != driver.ReasonTooLarge || dead[0].LastError != "headers are missing" {
		t.Errorf("dead letters are %+v, %v", dead, err)
	}
}

// TestOneOfTwoSettlementsCounts: of two settlements of a delivery in one call the second is
// told that it is not held, and so is one of a job that is gone; the others are stored.
func TestOneOfTwoSettlementsCounts(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("a"), message("b"), message("c"))
	c := consume(t, d, q, time.Minute)
	got := receive(t, c, 3)
	done(t, c, got[1])
	var list []driver.Settlement
	for _, i := range []int{0, 1, 0, 2} {
		list = append(list, driver.Settlement{Delivery: got[i], Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1})
	}
	errs := c.Settle(testContext(t), list)
	for i, lost := range []bool{false, true, true, false} {
		if err := errs[i]; errors.Is(err, driver.ErrLeaseLost) != lost || !lost && err != nil {
			t.Errorf("settlement %d: %v", i, err)
		}
	}
	depth(t, d, q, driver.Depth{Scheduled: 2})
}

// TestRetriesComeTogether: retries come at times that others share, never early and 20 ms
// late at most, and short ones by a 50th of their delay.
func TestRetriesComeTogether(t *testing.T) {
	t.Parallel()
	d, r := open(t), raw(t)
	for delay, tick := range map[time.Duration]int64{10 * time.Millisecond: 1, 300 * time.Millisecond: 7, time.Second: 20, time.Hour: 20} {
		q := queue(t, d)
		enqueue(t, d, q, message("a"))
		c := consume(t, d, q, time.Minute)
		got := receive(t, c, 1)
		before, err := r.Time(testContext(t)).Result()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(testContext(t)); err != nil { // so that what is due stays where it is
			t.Fatal(err)
		}
		h := newHolder(d.conn, q, d.names(q), time.Minute)
		list := []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeRetry, Delay: delay, Failures: 1}}
		if errs := h.settle(testContext(t), list, ""); errs != nil {
			t.Fatal(errs)
		}
		after, err := r.Time(testContext(t)).Result()
		if err != nil {
			t.Fatal(err)
		}
		held, err := r.ZRangeWithScores(testContext(t), d.names(q).prefix+"due", 0, -1).Result()
		if err != nil || len(held) != 1 {
			t.Fatal(held, err)
		}
		due := int64(held[0].Score)
		low, high := before.Add(delay).UnixMilli(), after.Add(delay).UnixMilli()+tick+1
		if due%tick != 0 || due < low || due > high {
			t.Errorf("a delay of %s is over at %d, not a multiple of %d from %d to %d", delay, due, tick, low, high)
		}
	}
}

// TestSettlePages: more than one script may store in one go, with results by position.
func TestSettlePages(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	const n = 2*pageJobs + 10
	enqueue(t, d, q, many(n)...)
	got := receive(t, c, n)
	var all []driver.Settlement
	for i, g := range got {
		all = append(all, driver.Settlement{Delivery: g, Outcome: driver.OutcomeRetry, Failures: 1, Delay: time.Hour})
		if i%50 == 7 {
			all[i].Outcome = driver.OutcomeDone
		}
	}
	lost := map[int]bool{3: true, pageJobs: true, pageJobs + 1: true, n - 1: true}
	for i := range lost {
		done(t, c, got[i])
	}
	errs := c.Settle(testContext(t), all)
	for i, err := range errs {
		if lost[i] != errors.Is(err, driver.ErrLeaseLost) {
			t.Errorf("%d: %v", i, err)
		}
	}
	finished := len(lost)
	for i := range all {
		if all[i].Outcome == driver.OutcomeDone && !lost[i] {
			finished++
		}
	}
	depth(t, d, q, driver.Depth{Scheduled: int64(n - finished)})
}

// TestPagesAfterAFailure: what is behind a page that failed as a whole was not sent.
func TestPagesAfterAFailure(t *testing.T) {
	f := serve(t, fit(func([]string) []byte { return []byte("-ERR something\r\n") }))
	d, err := Open(testContext(t), f.url(""))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDriver(t, d)
	check := func(what string, i int, err error) {
		want := driver.FateNotStored
		if i < pageJobs {
			want = driver.FateUnknown
		}
		if !errors.Is(err, driver.ErrBroker) || driver.FateOf(err) != want {
			t.Fatalf("%s %d: %v, %s", what, i, err, driver.FateOf(err))
		}
	}
	list := many(2*pageJobs, delay(time.Hour))
	for i, r := range d.Enqueue(testContext(t), "q", list) {
		check("enqueue", i, r.Err)
	}
	for i, r := range d.Import(testContext(t), "q", entriesOf(list, driver.StateDead, 0)) {
		check("import", i, r.Err)
	}
	c := consume(t, d, "q", time.Hour)
	var all []driver.Settlement
	for i := range 2 * pageJobs {
		all = append(all, driver.Settlement{Outcome: driver.OutcomeRelease, Delivery: &driver.Delivery{Receipt: &receipt{3, fmt.Sprint(i, "-1")}}})
	}
	for i, err := range c.Settle(testContext(t), all) {
		check("settle", i, err)
	}
}

// TestShortStrings: a server that takes only short strings bounds the body, so that a longer
// one is refused before it is sent.
func TestShortStrings(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8, "--proto-max-bulk-len", "1mb")
	d := openAt(t, server.URL())
	q := queue(t, d)
	l := d.Info().Limits
	if l.MaxBody != 1<<20 || l.EnqueueBytes != l.MaxBody+l.MaxHeaders {
		t.Errorf("the limits are %+v", l)
	}
	enqueue(t, d, q, message("a", func(m *driver.Message) { m.Body = make([]byte, l.MaxBody) }))
	c := consume(t, d, q, time.Minute)
	settle(t, c, driver.Settlement{Delivery: receive(t, c, 1)[0], Outcome: driver.OutcomeRetry, Failures: 1, Error: strings.Repeat("e", 2000), Delay: time.Millisecond})
	settle(t, c, driver.Settlement{Delivery: receive(t, c, 1)[0], Outcome: driver.OutcomeDead, Failures: 2, Error: strings.Repeat("e", 2000)})
	depth(t, d, q, driver.Depth{Dead: 1})
}
