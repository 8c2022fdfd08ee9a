package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var retryCases = []Case{
	{Name: "attempts", Rule: "A handler that fails is called again as attempt 2, 3 and so on, with the text of the last error.", run: caseAttempts},
	{Name: "retry-backoff", Rule: "A retry comes after the retry policy's delay, not before.", timed: true, run: caseRetryBackoff},
	{Name: "retry-after", Rule: "RetryAfter overrides the retry policy's delay.", timed: true, run: caseRetryAfter},
	{Name: "snooze", Rule: "A snooze brings the job back after its time, not before, and spends no attempt.", timed: true, run: caseSnooze},
	{Name: "keeps-on-retry", Rule: "A retry changes nothing of the message.", run: func(s *stage) { s.keeps(keepRetry) }},
	{Name: "keeps-on-release", Rule: "A release changes nothing of the message.", run: func(s *stage) { s.keeps(keepRelease) }},
	{Name: "keeps-on-loss", Rule: "A lost holder changes nothing of the message.", leases: true, run: func(s *stage) { s.keeps(keepLoss) }},
	{Name: "keeps-on-death", Rule: "A dead letter has everything of the message.", run: func(s *stage) { s.keeps(keepDeath) }},
	{Name: "keeps-on-redrive", Rule: "A redrive changes nothing of the message.", run: func(s *stage) { s.keeps(keepRedrive) }},
}

func caseAttempts(s *stage) {
	q := s.portable()
	enqueue(s, q, 0)
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		want := ""
		if job.Attempt > 1 {
			want = fmt.Sprintf("failure %d", job.Attempt-1)
		}
		if job.LastError != want {
			s.problem("LastError on attempt %d is %q, want %q", job.Attempt, job.LastError, want)
		}
		if job.MaxAttempts != 5 {
			s.problem("MaxAttempts is %d, want 5", job.MaxAttempts)
		}
		if job.Attempt < 4 {
			return fmt.Errorf("failure %d", job.Attempt)
		}
		return nil
	}, func(c *batch.WorkerConfig) { c.MaxAttempts = 5 })
	s.waitCount(1, Done, Died)
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	n := 0
	for _, e := range s.history.Of(name(0)) {
		if e.Op == Started {
			n++
			equal(s, e.Deliveries, n, "Deliveries")
		}
	}
	equal(s, n, 4, "starts of a job that fails three times")
}

// apart checks the time from the end of each run of a job to the next start.
func (s *stage) apart(id string, least, most time.Duration) {
	var ended time.Duration
	for _, e := range s.history.Of(id) {
		switch {
		case e.Op == Started && ended > 0:
			s.check(Within("the next start of "+id, ended, e.At, least, most), "measure")
		case e.Op.ends():
			ended = e.At
		}
	}
}

func caseRetryBackoff(s *stage) {
	const delay = 400 * time.Millisecond
	q := s.portable()
	enqueue(s, q, 0)
	s.work(s.open(), func(context.Context, *batch.Job[task]) error { return errors.New("failed") }, retryAfter(delay))
	s.waitCount(1, Died)
	equal(s, s.history.Count(Started), 3, "starts")
	s.apart(name(0), delay, delay+s.lateness())
}

func caseRetryAfter(s *stage) {
	const delay = 300 * time.Millisecond
	q := s.portable()
	enqueue(s, q, 0)
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Attempt == 1 {
			return batch.RetryAfter(delay, errors.New("later"))
		}
		return nil
	}, retryAfter(time.Hour))
	s.waitCount(1, Done)
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	s.apart(name(0), delay, delay+s.lateness())
}

func caseSnooze(s *stage) {
	const delay = 300 * time.Millisecond
	q := s.portable()
	enqueue(s, q, 0, batch.MaxAttempts(q, 1))
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Deliveries < 4 {
			return batch.Snooze(delay)
		}
		return nil
	})
	s.waitCount(1, Done, Died)
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	equal(s, s.history.Count(Done), 1, "done after three snoozes with one attempt")
	equal(s, s.history.Count(Started), 4, "starts")
	s.apart(name(0), delay, delay+s.lateness())
}

// passage is something that a message goes through without being changed.
type passage func(s *stage, d driver.Driver, c driver.Consumer, got *driver.Delivery) (driver.Consumer, *driver.Message)

// keeps sends a message that uses every field through a passage, twice.
func (s *stage) keeps(through passage) {
	d := s.declared()
	all := []*driver.Message{full("full"), message("plain")}
	empty := message("empty")
	empty.Body = nil
	all = append(all, empty)
	s.withCapabilities(d, all[0])
	for _, m := range all {
		s.put(d, m)
		c := s.consume(d, 1)
		got := s.receiveOne(c)
		s.check(sameMessage(&got.Message, m), "received")
		c, after := through(s, d, c, got)
		s.check(sameMessage(after, m), "afterwards")
		s.check(c.Close(s.ctx), "close the consumer")
		if s.lease() == 0 {
			d = s.open() // the passage may have closed it
		}
	}
}

func keepRetry(s *stage, _ driver.Driver, c driver.Consumer, got *driver.Delivery) (driver.Consumer, *driver.Message) {
	s.settleRetry(c, got, 0)
	again := s.receiveOne(c)
	s.settleRetry(c, again, 50*time.Millisecond)
	again = s.receiveOne(c)
	s.settle(c, again, driver.OutcomeDone)
	return c, &again.Message
}

func keepRelease(s *stage, _ driver.Driver, c driver.Consumer, got *driver.Delivery) (driver.Consumer, *driver.Message) {
	s.settle(c, got, driver.OutcomeRelease)
	again := s.receiveOne(c)
	s.settle(c, again, driver.OutcomeDone)
	return c, &again.Message
}

func keepLoss(s *stage, d driver.Driver, _ driver.Consumer, _ *driver.Delivery) (driver.Consumer, *driver.Message) {
	c := s.consume(s.open(), 1)
	again := s.receiveBy(s.vanish(d)+s.overdue(), c, 1)[0]
	s.settle(c, again, driver.OutcomeDone)
	return c, &again.Message
}

func keepDeath(s *stage, d driver.Driver, c driver.Consumer, got *driver.Delivery) (driver.Consumer, *driver.Message) {
	s.settleDead(c, got)
	dead := s.waitDeadLetters(d, 1)[0]
	_, err := d.Discard(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "purge")
	return c, &dead.Message
}

func keepRedrive(s *stage, d driver.Driver, c driver.Consumer, got *driver.Delivery) (driver.Consumer, *driver.Message) {
	s.settleRetry(c, got, 0)
	s.settleDead(c, s.receiveOne(c))
	s.waitDeadLetters(d, 1)
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven")
	again := s.receiveOne(c)
	equal(s, again.Failures, 0, "Failures after a redrive")
	equal(s, again.Deliveries, 1, "Deliveries after a redrive")
	equal(s, again.Redeliveries, 0, "Redeliveries after a redrive")
	s.settle(c, again, driver.OutcomeDone)
	return c, &again.Message
}
