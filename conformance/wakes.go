package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var wakesCases = []Case{
	{Name: "wakes-consumers", Rule: "Of several consumers that wait, each gets a job at once when there is one for it.", timed: true, run: caseWakesConsumers},
	{Name: "wakes-receivers", Rule: "Of several Receive calls of one consumer that wait, each gets a job at once when there is one for it.", timed: true, run: caseWakesReceivers},
	{Name: "wakes-idle", Rule: "A consumer that has waited for seconds gets a job at once, and the next too.", timed: true, run: caseWakesIdle},
	{Name: "wakes-release", Rule: "A waiting consumer gets a job that another releases at once.", timed: true, run: func(s *stage) { s.wakes(wakeRelease) }},
	{Name: "wakes-retry", Rule: "A waiting consumer gets a job that another retries without delay at once.", timed: true, run: func(s *stage) { s.wakes(wakeRetry) }},
	{Name: "wakes-retry-due", Rule: "A waiting consumer gets a retry of another when it is due.", timed: true, run: func(s *stage) { s.wakes(wakeRetryDue) }},
	{Name: "wakes-redrive", Rule: "A waiting consumer gets a job that is redriven at once.", timed: true, run: func(s *stage) { s.wakes(wakeRedrive) }},
	{Name: "wakes-resume", Rule: "Of several consumers that wait at a paused queue, each gets a job at once after Resume.", Needs: pauser, timed: true, run: caseWakesResume},
	{Name: "wakes-resume-due", Rule: "A waiting consumer gets a retry when it is due after Resume, on time whatever was paused meanwhile.", Needs: pauser, timed: true, run: caseWakesResumeDue},
	{Name: "wakes-abandoned", Rule: "A job that comes as a Receive is given up goes to another that waits, at once when the consumer of the first stops.", timed: true, run: caseWakesAbandoned},
	{Name: "wakes-lease", Rule: "A waiting consumer gets a job whose lease has ended.", leases: true, run: func(s *stage) { s.wakes(wakeLease) }},
	{Name: "wakes-stop", Rule: "A waiting consumer gets at once what another gives back as it is stopped.", timed: true, run: caseWakesStop},
	{Name: "wakes-delay", Rule: "A waiting consumer gets a delayed job when it is due.", Needs: delayer, timed: true, run: func(s *stage) { s.wakes(wakeDelay) }},
	{Name: "wakes-import", Rule: "A waiting consumer gets a job that is imported at once.", Needs: importer, timed: true, run: func(s *stage) { s.wakes(wakeImport) }},
	{Name: "wakes-atomic", Rule: "Waiting consumers get the jobs of an atomic enqueue at once.", Needs: atomicEnqueuer, timed: true, run: func(s *stage) { s.wakes(wakeAtomic) }},
	{Name: "wakes-group", Rule: "A waiting consumer gets the next job of a group at once when the one before is done, has died or was deleted.", Needs: grouper, timed: true, run: caseWakesGroup},
}

// arrival is a job that a waiting Receive returned, and when.
type arrival struct {
	got *driver.Delivery
	at  time.Duration
	err error
}

// waiting starts a Receive of one job, and returns where the job will be.
func (s *stage) waiting(c driver.Consumer, most time.Duration) <-chan arrival {
	arrived := make(chan arrival, 1)
	go func() {
		ctx, cancel := s.by(most)
		defer cancel()
		all, err := c.Receive(ctx, 1)
		a := arrival{at: s.history.Now(), err: err}
		if len(all) > 0 {
			a.got = all[0]
			s.history.Add(Event{Op: Started, ID: a.got.ID, Deliveries: a.got.Deliveries, Worker: "a Receive that waited"})
		}
		arrived <- a
	}()
	return arrived
}

// arrives ends the case unless a job comes between two times.
func (s *stage) arrives(arrived <-chan arrival, least, most time.Duration, what string) *driver.Delivery {
	a := <-arrived
	s.check(a.err, "%s", what)
	if a.got == nil {
		s.failf("%s: Receive returned no job and no error", what)
	}
	s.check(Within(what, 0, a.at, least, most), "measure")
	return a.got
}

// waitsBy is long enough for a Receive to wait at the broker. Whether it does cannot be
// seen from outside; if not, the case shows less.
const waitsBy = 50 * time.Millisecond

func caseWakesConsumers(s *stage) {
	d := s.declared()
	var consumers []driver.Consumer
	for range 3 {
		consumers = append(consumers, s.consume(s.open(), 1))
	}
	for round := range 3 {
		var arrived []<-chan arrival
		for _, c := range consumers {
			arrived = append(arrived, s.waiting(c, 0))
		}
		s.pass(waitsBy)
		if round < 2 { // one by one; then all at once
			for i := range consumers {
				s.put(d, message(name(3*round+i)))
			}
		} else {
			s.put(d, message(name(6)), message(name(7)), message(name(8)))
		}
		stored := s.history.Now()
		for i, c := range consumers {
			got := s.arrives(arrived[i], 0, stored+s.lateness(), fmt.Sprintf("the job of waiting consumer %d", i))
			s.settle(c, got, driver.OutcomeDone)
		}
	}
	s.check(ExactCover(s.history.Events(), names(9)), "judge the history")
}

func caseWakesReceivers(s *stage) {
	receivers := min(s.info.Limits.Receivers, 3)
	d := s.declared()
	c := s.consume(s.open(), receivers)
	for range 3 {
		var arrived []<-chan arrival
		for range receivers {
			arrived = append(arrived, s.waiting(c, 0))
		}
		s.pass(waitsBy)
		s.put(d, messages(receivers)...)
		stored := s.history.Now()
		for i := range receivers {
			got := s.arrives(arrived[i], 0, stored+s.lateness(), fmt.Sprintf("the job of waiting Receive %d", i))
			s.settle(c, got, driver.OutcomeDone)
		}
	}
	s.waitDepth(d, driver.Depth{})
}

func caseWakesIdle(s *stage) {
	const idle = 5 * time.Second
	d := s.declared()
	c := s.consume(s.open(), 1)
	for n, wait := range []time.Duration{0, idle, 0} {
		arrived := s.waiting(c, wait)
		s.pass(wait + waitsBy)
		s.put(d, message(name(n)))
		got := s.arrives(arrived, 0, s.history.Now()+s.lateness(), fmt.Sprintf("the job after the consumer waited for %s", wait))
		s.settle(c, got, driver.OutcomeDone)
	}
}

// wake makes a job available while a consumer waits, and returns between which times it
// must come. The holder has received the job.
type wake func(s *stage, d driver.Driver, holder driver.Consumer, held *driver.Delivery) (least, most time.Duration)

// wakes lets two consumers wait, one after the other, each for what a wake brings.
func (s *stage) wakes(by wake) {
	d := s.declared()
	for round := range 2 {
		s.put(d, message(name(round)))
		giver := s.declared()
		holder := s.consume(giver, 1)
		held := s.receiveOne(holder)
		c := s.consume(s.open(), 1)
		arrived := s.waiting(c, s.lease()+s.overdue())
		s.pass(waitsBy)
		least, most := by(s, giver, holder, held)
		got := s.arrives(arrived, least, most, "the job for which a consumer waits")
		s.settle(c, got, driver.OutcomeDone)
		s.check(c.Close(s.ctx), "close the consumer")
		s.check(holder.Close(s.ctx), "close the holder")
	}
}

// retire stops a holder, which can still settle what it has. A broker that pushes may hand
// a job to any consumer that has room, and one that has settled has room again, whether or
// not it calls Receive: it may then have the job for which another waits.
func (s *stage) retire(holder driver.Consumer) {
	s.check(holder.Stop(s.ctx), "stop the holder")
}

func wakeRelease(s *stage, _ driver.Driver, holder driver.Consumer, held *driver.Delivery) (least, most time.Duration) {
	s.settle(holder, held, driver.OutcomeRelease)
	return 0, s.history.Now() + s.lateness()
}

func wakeRetry(s *stage, _ driver.Driver, holder driver.Consumer, held *driver.Delivery) (least, most time.Duration) {
	s.retire(holder)
	_, end := s.settleRetry(holder, held, 0)
	return 0, end + s.lateness()
}

func wakeRetryDue(s *stage, _ driver.Driver, holder driver.Consumer, held *driver.Delivery) (least, most time.Duration) {
	const delay = 600 * time.Millisecond
	s.retire(holder)
	begin, end := s.settleRetry(holder, held, delay)
	return begin + delay, end + delay + s.lateness()
}

func wakeRedrive(s *stage, d driver.Driver, holder driver.Consumer, held *driver.Delivery) (least, most time.Duration) {
	s.retire(holder)
	s.settleDead(holder, held)
	s.waitDeadLetters(d, 1)
	s.pass(waitsBy)
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{held.ID}})
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven")
	return 0, s.history.Now() + s.lateness()
}

func wakeLease(s *stage, d driver.Driver, _ driver.Consumer, _ *driver.Delivery) (least, most time.Duration) {
	return 0, s.history.Now() + s.vanish(d) + s.overdue()
}

func wakeDelay(s *stage, d driver.Driver, holder driver.Consumer, held *driver.Delivery) (least, most time.Duration) {
	const delay = 600 * time.Millisecond
	s.retire(holder)
	s.settle(holder, held, driver.OutcomeDone)
	begin := s.history.Now()
	s.put(d, delayed("delayed", delay))
	return begin + delay, s.history.Now() + delay + s.lateness()
}

func wakeImport(s *stage, d driver.Driver, holder driver.Consumer, held *driver.Delivery) (least, most time.Duration) {
	s.retire(holder)
	s.settle(holder, held, driver.OutcomeDone)
	s.load(d, entry("imported", driver.StateWaiting))
	return 0, s.history.Now() + s.lateness()
}

func wakeAtomic(s *stage, d driver.Driver, holder driver.Consumer, held *driver.Delivery) (least, most time.Duration) {
	s.retire(holder)
	s.settle(holder, held, driver.OutcomeDone)
	s.check(capable[batch.AtomicEnqueuer](s, d).EnqueueAtomic(s.ctx, s.queue, []*driver.Message{message("atomic")}), "enqueue atomically")
	return 0, s.history.Now() + s.lateness()
}

func caseWakesResume(s *stage) {
	const consumers = 3
	d := s.declared()
	p := s.paused(d)
	s.put(d, messages(consumers)...)
	var all []driver.Consumer
	var arrived []<-chan arrival
	for i := range consumers {
		all = append(all, s.consume(s.open(), 1))
		arrived = append(arrived, s.waiting(all[i], silence))
	}
	s.silent()
	s.check(p.Resume(s.ctx, s.queue), "resume")
	resumed := s.history.Now()
	for i, c := range all {
		s.settle(c, s.arrives(arrived[i], resumed-time.Second, resumed+s.lateness(), fmt.Sprintf("the job of consumer %d after Resume", i)), driver.OutcomeDone)
	}
	s.check(ExactCover(s.history.Events(), names(consumers)), "judge the history")
}

func caseWakesResumeDue(s *stage) {
	const delay = 900 * time.Millisecond
	d := s.declared()
	s.put(d, message("job"))
	holder := s.consume(d, 1)
	held := s.receiveOne(holder)
	p := s.paused(d)
	c := s.consume(s.open(), 1)
	arrived := s.waiting(c, delay)
	s.pass(waitsBy)
	s.retire(holder)
	begin, end := s.settleRetry(holder, held, delay)
	s.pass(delay / 3)
	s.check(p.Resume(s.ctx, s.queue), "resume")
	s.settle(c, s.arrives(arrived, begin+delay, end+delay+s.lateness(), "the retry that was due after Resume"), driver.OutcomeDone)
}

func caseWakesAbandoned(s *stage) {
	const rounds, each = 4, 8
	d := s.declared()
	c := s.consume(s.open(), 1)
	for round := range rounds {
		ctx, cancel := context.WithCancel(s.ctx)
		var all []driver.Consumer
		given := make(chan struct{}, each)
		for range each {
			first := s.consume(d, 1)
			all = append(all, first)
			go func() {
				got, _ := first.Receive(ctx, 1)
				for _, one := range got { // it was handed out to the first anyway
					first.Settle(s.ctx, []driver.Settlement{{Delivery: one, Outcome: driver.OutcomeRelease}})
				}
				given <- struct{}{}
			}()
		}
		s.pass(waitsBy / 2)
		arrived := s.waiting(c, 0)
		s.pass(waitsBy / 2)
		go cancel()
		s.put(d, messages(each)...)
		for range each {
			<-given
		}
		for _, first := range all {
			s.check(first.Stop(s.ctx), "stop a consumer whose Receive was given up")
		}
		stopped := s.history.Now()
		for n := range each {
			s.settle(c, s.arrives(arrived, 0, stopped+s.lateness()+s.harness.Slack, fmt.Sprintf("job %d of round %d, which came as a Receive was given up", n, round)), driver.OutcomeDone)
			if n < each-1 {
				arrived = s.waiting(c, 0)
			}
		}
		for _, first := range all {
			s.check(first.Close(s.ctx), "close the consumer")
		}
	}
	s.waitDepth(d, driver.Depth{})
}

func caseWakesStop(s *stage) {
	const jobs, hold = 8, 4
	d := s.declared()
	s.put(d, messages(jobs)...)
	first := s.consume(d, hold)
	held := s.receive(first, 1)
	c := s.consume(s.open(), jobs)
	s.check(first.Stop(s.ctx), "stop the consumer")
	stopped := s.history.Now()
	for _, got := range s.receive(c, jobs-1) {
		s.settle(c, got, driver.OutcomeDone)
	}
	s.check(Within("the last of what a stopped consumer gave back", stopped, s.history.Now(), 0, s.lateness()+s.harness.Slack), "measure")
	s.settle(first, held[0], driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

func caseWakesGroup(s *stage) {
	d := s.declared()
	s.putGroup(d, 5)
	holder := s.consume(d, 1)
	held := s.receiveOne(holder)
	other := s.consume(s.open(), 1)
	for n, end := range []func(*driver.Delivery){
		func(got *driver.Delivery) { s.settle(holder, got, driver.OutcomeDone) },
		func(got *driver.Delivery) { s.settleDead(holder, got) },
		func(got *driver.Delivery) { s.settleRetry(holder, got, 0) },
		func(got *driver.Delivery) { s.settle(holder, got, driver.OutcomeRelease) },
	} {
		arrived := s.waiting(other, 0)
		s.pass(waitsBy)
		end(held)
		held = s.arrives(arrived, 0, s.history.Now()+s.lateness(), fmt.Sprintf("the group's next job, time %d", n))
		holder, other = other, holder
	}
	equal(s, held.ID, name(2), "the group's next job after two of five")
	s.settle(holder, held, driver.OutcomeDone)
}
