package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

func (s *modelRun) holder(d *driver.Delivery) *modelJob {
	for _, j := range s.model.in(modelRunning) {
		if j.holder == d {
			return j
		}
	}
	return nil
}

// some is a few deliveries, most of them held.
func (s *modelRun) some() []*driver.Delivery {
	var list []*driver.Delivery
	for _, j := range s.model.in(modelRunning) {
		if s.r.IntN(2) == 0 {
			list = append(list, j.holder)
		}
	}
	if len(s.given) > 0 && s.r.IntN(4) == 0 {
		list = append(list, s.given[s.r.IntN(len(s.given))])
	}
	return list
}

func (s *modelRun) settleSome() {
	var settlements []driver.Settlement
	for _, d := range s.some() {
		settlements = append(settlements, driver.Settlement{
			Delivery: d, Outcome: driver.Outcome(1 + s.r.IntN(4)),
			Delay:    time.Duration(s.r.IntN(3)*s.r.IntN(1000)) * time.Millisecond,
			Failures: d.Failures + 1, Reason: driver.ReasonAttempts, Error: fmt.Sprint("e", s.r.IntN(9)),
		})
	}
	errs := s.consumers[s.r.IntN(2)].Settle(s.Context(), settlements)
	for i, x := range settlements {
		var err error
		if errs != nil {
			err = errs[i]
		}
		j := s.holder(x.Delivery)
		if j == nil {
			s.is(err, driver.ErrLeaseLost)
			continue
		}
		s.ok(err)
		j.holder = nil
		if x.Outcome == driver.OutcomeRetry || x.Outcome == driver.OutcomeDead {
			j.redeliveries = 0
		}
		if x.Outcome == driver.OutcomeRetry || x.Outcome == driver.OutcomeDead {
			j.failures, j.lastError = x.Failures, x.Error
		}
		switch {
		case x.Outcome == driver.OutcomeDone:
			j.state = modelGone
		case x.Outcome == driver.OutcomeRelease:
			j.state = modelWaiting
		case x.Outcome == driver.OutcomeDead:
			j.state, j.at, j.place, j.reason = modelDead, time.Now(), s.model.place(), x.Reason
		case x.Delay > 0:
			s.model.schedule(j, time.Now().Add(x.Delay))
		default:
			s.model.back(j)
		}
	}
}

func (s *modelRun) extend() {
	list := s.some()
	c := s.consumers[s.r.IntN(2)]
	errs := c.Extend(s.Context(), list)
	for i, d := range list {
		var err error
		if errs != nil {
			err = errs[i]
		}
		if j := s.holder(d); j != nil {
			s.ok(err)
			j.at = time.Now().Add(c.Lease())
		} else {
			s.is(err, driver.ErrLeaseLost)
		}
	}
}

func (s *modelRun) pause() {
	s.model.paused = s.r.IntN(3) == 0
	if s.model.paused {
		s.ok(s.d.Pause(s.Context(), "q"))
	} else {
		s.ok(s.d.Resume(s.Context(), "q"))
	}
}

func (s *modelRun) redriveOrDiscard() {
	dead := s.model.in(modelDead)
	slices.SortFunc(dead, byTime)
	which := driver.Selection{All: s.r.IntN(2) == 0}
	if !which.All {
		dead = slices.DeleteFunc(dead, func(*modelJob) bool { return s.r.IntN(2) == 0 })
		for _, j := range dead {
			which.IDs = append(which.IDs, j.m.ID)
		}
		which.IDs = append(which.IDs, "no such job")
	}
	do := s.d.Redrive
	redrive := s.r.IntN(3) > 0
	if !redrive {
		do = s.d.Discard
	}
	n, err := do(s.Context(), "q", which)
	s.ok(err)
	if n != len(dead) {
		s.fatal("%d dead letters, want %d", n, len(dead))
	}
	for _, j := range dead {
		j.state = modelGone
		if redrive {
			j.state, j.place = modelWaiting, s.model.place()
			j.failures, j.deliveries, j.lastError, j.reason = 0, 0, "", ""
		}
	}
}

func (s *modelRun) remove() {
	if len(s.model.jobs) == 0 {
		return
	}
	j := s.model.jobs[s.r.IntN(len(s.model.jobs))]
	found, err := s.d.Find(s.Context(), "q", j.m.ID)
	if j.state == modelRunning || j.state == modelGone {
		s.is(err, driver.ErrNotFound)
		s.is(s.d.Delete(s.Context(), "q", j.m.ID), driver.ErrNotFound)
		return
	}
	s.ok(err)
	s.check(j, found)
	s.ok(s.d.Delete(s.Context(), "q", j.m.ID))
	j.state = modelGone
}

func (s *modelRun) crash() {
	old, oldConsumer := s.d, s.consumers[0]
	s.broker.Crash()
	for _, j := range s.model.in(modelRunning) {
		s.model.lose(j)
	}
	s.is(old.Declare(s.Context(), "q"), driver.ErrUnavailable)
	_, err := oldConsumer.Receive(s.Context(), 1)
	s.is(err, driver.ErrUnavailable)
	s.ok(old.Close(s.Context()))
	d, err := s.broker.Open()
	s.ok(err)
	s.d = d
	s.Cleanup(func() { _ = d.Close(context.Background()) })
	s.reopen()
}
