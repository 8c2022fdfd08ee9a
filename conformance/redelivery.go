package conformance

import (
	"time"

	"github.com/batch-go/batch/driver"
)

var redeliveryCases = []Case{
	{Name: "release-keeps-redeliveries", Rule: "A release neither counts as a lost holder nor makes the lost ones forgotten.", leases: true, run: caseReleaseKeepsRedeliveries},
	{Name: "release-before-loss", Rule: "A holder that is lost after some releases is the first lost one.", leases: true, run: caseReleaseBeforeLoss},
	{Name: "retry-forgets-redeliveries", Rule: "A retry and a redrive make lost holders forgotten.", leases: true, run: caseRetryForgetsRedeliveries},
}

// nextHolder makes a handle vanish that holds a job, and returns the next one, with the
// job as a consumer of it received it.
func (s *stage) nextHolder(d driver.Driver) (driver.Driver, driver.Consumer, *driver.Delivery) {
	after := s.vanish(d)
	d = s.open()
	c := s.consume(d, 1)
	return d, c, s.receiveBy(after+s.overdue(), c, 1)[0]
}

// holder enqueues a job and returns a handle that holds it.
func (s *stage) holder() (driver.Driver, driver.Consumer, *driver.Delivery) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	return d, c, s.receiveOne(c)
}

func caseReleaseKeepsRedeliveries(s *stage) {
	d, c, got := s.holder()
	for lost := range 3 {
		if lost > 0 {
			d, c, got = s.nextHolder(d)
		}
		for released := range 3 {
			equal(s, got.Redeliveries, lost, "Redeliveries after %d lost holders and %d releases since", lost, released)
			s.settle(c, got, driver.OutcomeRelease)
			got = s.receiveOne(c)
		}
	}
	s.settle(c, got, driver.OutcomeDone)
}

func caseReleaseBeforeLoss(s *stage) {
	d, c, got := s.holder()
	for range 2 {
		s.settle(c, got, driver.OutcomeRelease)
		got = s.receiveOne(c)
	}
	_, c, got = s.nextHolder(d)
	equal(s, got.Redeliveries, 1, "Redeliveries after 2 releases and a lost holder")
	s.settle(c, got, driver.OutcomeDone)
}

func caseRetryForgetsRedeliveries(s *stage) {
	d, _, _ := s.holder()
	d, c, got := s.nextHolder(d)
	for _, delay := range []time.Duration{20 * time.Millisecond, 0} {
		s.settleRetry(c, got, delay)
		got = s.receiveOne(c)
		equal(s, got.Redeliveries, 0, "Redeliveries after a lost holder and a retry after %s", delay)
		d, c, got = s.nextHolder(d)
		equal(s, got.Redeliveries, 1, "Redeliveries after a retry after %s and a lost holder", delay)
	}
	s.settleDead(c, got)
	s.waitDeadLetters(d, 1)
	_, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	got = s.receiveOne(c)
	equal(s, got.Redeliveries, 0, "Redeliveries after a redrive")
	s.settle(c, got, driver.OutcomeDone)
}
