package conformance

import (
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

var depthCases = []Case{
	{Name: "depth-age", Rule: "Depth tells how long the oldest waiting job has been waiting, and zero if none is, or says UnknownAge.", timed: true, run: caseDepthAge},
	{Name: "depth-due", Rule: "A scheduled job whose time has come is counted as waiting or as due, without a consumer that brings it forth, or the count is unknown.", timed: true, run: caseDepthDue},
}

// rounding is by how much an age may be off because broker and driver round times.
const rounding = 20 * time.Millisecond

// wantAge waits until the age is that of a job which began to wait between two times,
// or unknown.
func (s *stage) wantAge(d driver.Driver, first, last time.Duration, what string) {
	s.eventually("looking at the age "+what, func() error {
		before := s.history.Now()
		depth, err := d.Depth(s.ctx, s.queue)
		after := s.history.Now()
		if err != nil {
			return err
		}
		if least, most := before-last-rounding, after-first+rounding; depth.Age != driver.UnknownAge && (depth.Age < least || depth.Age > most) {
			return fmt.Errorf("it is %s, want %s to %s", depth.Age, least, most)
		}
		return nil
	})
}

// wantNoAge waits until nothing is said to wait.
func (s *stage) wantNoAge(d driver.Driver, what string) {
	s.eventually("looking at the age "+what, func() error {
		depth, err := d.Depth(s.ctx, s.queue)
		if err == nil && depth.Age != 0 && depth.Age != driver.UnknownAge {
			err = fmt.Errorf("it is %s, want 0", depth.Age)
		}
		return err
	})
}

func caseDepthAge(s *stage) {
	d := s.declared()
	s.wantNoAge(d, "of a new queue")
	stored := make(map[string][2]time.Duration)
	put := func(id string) {
		begin := s.history.Now()
		s.put(d, message(id))
		stored[id] = [2]time.Duration{begin, s.history.Now()}
	}
	put("first")
	s.pass(700 * time.Millisecond)
	put("second")
	s.pass(500 * time.Millisecond)
	s.wantAge(d, stored["first"][0], stored["first"][1], "of two jobs")
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	s.check(c.Stop(s.ctx), "stop the consumer")
	left := "second"
	if got.ID == left {
		left = "first"
	}
	s.wantAge(d, stored[left][0], stored[left][1], "of one job, with another running")
	s.settle(c, got, driver.OutcomeDone)
	s.check(c.Close(s.ctx), "close the consumer")
	c = s.consume(d, 1)
	got = s.receiveOne(c)
	s.wantNoAge(d, "with one job, which is running")
	s.settleRetry(c, got, time.Hour)
	s.wantNoAge(d, "with one job, which is scheduled")
	put("third")
	s.wantAge(d, stored["third"][0], stored["third"][1], "of one job, with an older one scheduled")
}

func caseDepthDue(s *stage) {
	const delay = 400 * time.Millisecond
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	s.settleAs(c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1})
	s.waitDepth(d, driver.Depth{Scheduled: 1})
	s.put(d, message("soon"))
	begin, _ := s.settleRetry(c, s.receiveOne(c), delay)
	s.check(c.Close(s.ctx), "close the consumer")
	unknown := false
	s.eventually("counting what waits or is due", func() error {
		depth, err := d.Depth(s.ctx, s.queue)
		if err != nil {
			return err
		}
		in := s.history.Now() - begin
		if depth.Waiting == driver.UnknownCount || depth.Due == driver.UnknownCount {
			unknown = true
			return nil
		}
		if depth.Scheduled != driver.UnknownCount && depth.Due > depth.Scheduled {
			s.failf("%d of %d scheduled jobs are due", depth.Due, depth.Scheduled)
		}
		switch n := depth.Waiting + depth.Due; {
		case n == 1 && in < delay:
			s.failf("a job counts as waiting or due %s before its time: %+v", delay-in, depth)
		case n == 0:
			return fmt.Errorf("after %s of %s it is %+v", in, delay, depth)
		case n > 1:
			s.failf("more than the one job whose time has come counts as waiting or due: %+v", depth)
		}
		if in > delay+s.lateness() {
			s.failf("the job counts as waiting or due only %s after its time: %+v", in-delay, depth)
		}
		return nil
	})
	if unknown {
		s.untested("the driver does not know how many jobs wait or are due")
		return
	}
	c = s.consume(d, 1)
	got = s.receiveOne(c)
	equal(s, got.ID, "soon", "the job whose time has come")
	s.eventually("counting when a consumer has the job", func() error {
		depth, err := d.Depth(s.ctx, s.queue)
		if err == nil && depth.Waiting+depth.Due != 0 {
			err = fmt.Errorf("it is %+v", depth)
		}
		return err
	})
	s.settle(c, got, driver.OutcomeDone)
}
