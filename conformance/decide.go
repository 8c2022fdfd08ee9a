package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var decideCases = []Case{
	{Name: "poison", Rule: "A job whose holders vanish more than MaxRedeliveries times becomes a dead letter without being run and without spending an attempt.", leases: true, run: casePoison},
	{Name: "unknown-kind", Rule: "A job of a kind without a handler comes back with backoff, holds nobody up, and spends no attempt. It becomes a dead letter when that went on for longer than BounceTimeout.", timed: true, run: caseUnknownKind},
	{Name: "unknown-kind-known-later", Rule: "A job of a kind that one worker does not know runs on another that does.", run: caseUnknownKindKnownLater},
	{Name: "deploy", Rule: "A job that old workers do not know runs on a new one, with the attempts that it had, however often they put it back and however often it was snoozed before.", run: caseDeploy},
	{Name: "undecodable", Rule: "A body that does not decode makes a dead letter at once, with the body, and the queue goes on.", run: caseUndecodable},
	{Name: "expired", Rule: "A job is not started after its deadline but becomes a dead letter; others go on.", run: caseExpired},
	{Name: "expiry-not-early", Rule: "A job that is started before its deadline runs, even if it ends after it.", timed: true, run: caseExpiryNotEarly},
}

func casePoison(s *stage) {
	// A release counts nothing; only lost holders do.
	d := s.declared()
	s.put(d, message("poison"), message("good"))
	c := s.consume(d, 2)
	for _, got := range s.receive(c, 2) {
		if got.ID == "good" {
			s.settle(c, got, driver.OutcomeRelease)
		}
	}
	good := s.receiveOne(c)
	equal(s, good.ID, "good", "the job that was released")
	s.settle(c, good, driver.OutcomeDone)
	after := s.vanish(d)
	second := s.open()
	got := s.receiveBy(after+s.overdue(), s.consume(second, 1), 1)[0]
	equal(s, got.Redeliveries, 1, "Redeliveries after one lost holder")
	after = s.vanish(second)
	d = s.open()
	begun := s.history.Count(Started)
	s.work(s.open(), nothing, func(c *batch.WorkerConfig) { c.MaxRedeliveries = 1 })
	s.waitBy(after+s.overdue(), "the job to die", func() bool { return s.history.Count(Died) > 0 })
	equal(s, s.history.Count(Started), begun, "starts of a poisonous job")
	dead := s.waitDeadLetters(d, 1)[0]
	equal(s, dead.ID, "poison", "ID of the dead letter")
	equal(s, dead.Reason, batch.ReasonPoison, "Reason of the dead letter")
	equal(s, dead.Failures, 0, "Failures of the dead letter")
	equal(s, dead.Deliveries, 3, "Deliveries of the dead letter")
}

func caseUnknownKind(s *stage) {
	const bound = 1500 * time.Millisecond
	d := s.declared()
	strange := message("strange")
	strange.Kind, strange.MaxAttempts = "conformance.unknown", 1
	s.put(d, strange)
	q := queueOf[driver.Driver](s, d)
	s.work(s.open(), nothing, func(c *batch.WorkerConfig) { c.BounceTimeout = bound })
	enqueue(s, q, 0)
	s.waitCount(1, Done)
	s.waitCount(1, Died)
	var times []time.Duration
	for _, e := range s.history.Of("strange") {
		if e.Op == Noted || e.Op == Died {
			times = append(times, e.At)
		}
	}
	first, last := times[0], times[len(times)-1]
	// Its first bounce is stored in whole milliseconds.
	s.check(Within("the death of a job of an unknown kind", first, last, bound-time.Millisecond, time.Hour), "measure")
	for n := 1; n < len(times); n++ {
		s.check(Within("the next delivery of an unknown kind", times[n-1], times[n], 0, time.Second<<(n-1)+s.lateness()), "measure")
	}
	dead := s.deadLetter(q)
	equal(s, dead.ID, "strange", "ID of the dead letter")
	equal(s, dead.Reason, batch.ReasonUnknownKind, "Reason of the dead letter")
	equal(s, dead.Failures, 0, "Failures of the dead letter")
	equal(s, dead.Bounces, len(times), "Bounces of the dead letter")
	equal(s, dead.Deliveries, len(times), "Deliveries of the dead letter")
}

func caseUnknownKindKnownLater(s *stage) {
	q := s.portable()
	ignorant := s.work(s.open(), nil, func(c *batch.WorkerConfig) { c.MaxAttempts = 1 })
	enqueue(s, q, 0)
	s.wait("a worker that does not know the kind", func() bool { return s.history.Count(Noted) > 0 })
	s.check(ignorant.Stop(s.ctx), "stop the worker that does not know the kind")
	s.work(s.open(), nothing)
	s.waitCount(1, Done)
	s.check(ExactCover(s.history.Events(), names(1)), "judge the history")
}

func caseDeploy(s *stage) {
	const snoozes, bounces = 20, 3
	q := s.portable()
	enqueue(s, q, 0, batch.MaxAttempts(q, 1))
	met := make(chan int, snoozes) // how often a job that snoozes was handed out
	snoozing := s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Deliveries <= snoozes {
			met <- job.Deliveries
		}
		if job.Deliveries < snoozes {
			return batch.Snooze(0)
		}
		return batch.Snooze(500 * time.Millisecond)
	})
	ctx, cancel := s.soon()
	defer cancel()
	for n := 0; n < snoozes; {
		select {
		case n = <-met:
		case <-ctx.Done():
			s.failf("the job was handed out %d times: %v", n, context.Cause(ctx))
		}
	}
	s.check(snoozing.Stop(s.ctx), "stop the worker that snoozes")
	before := s.history.Count(Noted)
	var old []*batch.Worker
	for range 2 {
		old = append(old, s.work(s.open(), nil, func(c *batch.WorkerConfig) { c.MaxAttempts = 1 }))
	}
	s.wait("old workers to put the job back", func() bool { return s.history.Count(Noted)-before >= bounces || s.history.Count(Died) > 0 })
	for _, w := range old {
		s.check(w.Stop(s.ctx), "stop an old worker")
	}
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Attempt != 1 || job.MaxAttempts != 1 {
			s.problem("the job runs as attempt %d of %d, want 1 of 1", job.Attempt, job.MaxAttempts)
		}
		if job.Bounces < bounces {
			s.problem("Bounces is %d, and old workers put the job back at least %d times", job.Bounces, bounces)
		}
		return nil
	})
	s.waitCount(1, Done, Died)
	equal(s, s.history.Count(Died), 0, "deaths")
	s.waitDepth(q.Driver(), driver.Depth{})
}

func caseUndecodable(s *stage) {
	d := s.declared()
	broken := message("broken")
	broken.Body = []byte("{\"n\": \x00\xff")
	s.put(d, broken)
	q := queueOf[driver.Driver](s, d)
	enqueue(s, q, 0)
	s.work(s.open(), nothing)
	s.waitCount(1, Done)
	dead := s.deadLetter(q)
	equal(s, dead.ID, "broken", "ID of the dead letter")
	equal(s, dead.Reason, batch.ReasonUndecodable, "Reason of the dead letter")
	equal(s, string(dead.Body), string(broken.Body), "Body of the dead letter")
	equal(s, dead.Failures, 0, "Failures of the dead letter")
	equal(s, dead.Deliveries, 1, "Deliveries of the dead letter")
	if dead.LastError == "" {
		s.failf("LastError of the dead letter is empty")
	}
}

func caseExpired(s *stage) {
	q := s.portable()
	enqueue(s, q, 0, batch.ExpiresIn(q, time.Millisecond))
	enqueue(s, q, 1)
	s.pass(20 * time.Millisecond)
	s.work(s.open(), nothing)
	s.waitCount(1, Done)
	s.waitCount(1, Died)
	dead := s.deadLetter(q)
	equal(s, dead.ID, name(0), "ID of the dead letter")
	equal(s, dead.Reason, batch.ReasonExpired, "Reason of the dead letter")
	equal(s, s.history.Count(Started), 1, "jobs started")
}

func caseExpiryNotEarly(s *stage) {
	q := s.portable()
	expiry := s.lateness() + time.Second // a slow machine must not make it expire
	s.work(s.open(), func(ctx context.Context, job *batch.Job[task]) error {
		if left := time.Until(job.ExpiresAt); left <= 0 || left > expiry {
			return batch.Permanent(fmt.Errorf("started with %s left of %s", left, expiry))
		}
		if job.Args.N == 1 {
			select {
			case <-time.After(time.Until(job.ExpiresAt) + 10*time.Millisecond):
			case <-ctx.Done():
				return errors.New("cancelled at its deadline for starting")
			}
		}
		return nil
	})
	enqueue(s, q, 0, batch.ExpiresIn(q, expiry))
	s.waitCount(1, Done)
	enqueue(s, q, 1, batch.ExpiresIn(q, expiry))
	s.waitBy(expiry, "jobs that started in time", func() bool { return s.history.Count(Done, Died, Failed) >= 2 })
	s.check(ExactCover(s.history.Events(), names(2)), "judge the history")
}
