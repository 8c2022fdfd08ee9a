package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// The cases in this file are about rows of the table in docs/states.md that meet each
// other, or that need a codec of their own.
var rowsCases = []Case{
	{Name: "retry-after-last", Rule: "RetryAfter on the last attempt makes a dead letter, as any other failure does, and Snooze does not.", run: caseRetryAfterLast},
	{Name: "retry-capped", Rule: "A delay that is longer than the driver can hold a job back is shortened to what it can, and not refused.", run: caseRetryCapped},
	{Name: "start-order", Rule: "Of several reasons for which a job does not start the first counts: poison, then its expiry, then its unknown kind.", leases: true, run: caseStartOrder},
	{Name: "unknown-content-type", Rule: "A job of a content type without a codec is not run, comes back without spending an attempt, and runs on a worker that has the codec.", run: caseUnknownContentType},
	{Name: "unreadable-later", Rule: "A body that the codec cannot read yet comes back without spending an attempt until it can, and is a dead letter with its own reason when that takes longer than BounceTimeout.", run: caseUnreadableLater},
	{Name: "suspect-alone", Rule: "A job that was lost often enough to be suspected runs alone, and what its worker gives back for that spends no attempt.", leases: true, run: caseSuspectAlone},
}

func caseRetryAfterLast(s *stage) {
	q := s.portable()
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Args.N == 1 && job.Deliveries == 1 {
			return batch.Snooze(0)
		}
		return batch.RetryAfter(time.Millisecond, errors.New("asked for"))
	})
	enqueue(s, q, 0, batch.MaxAttempts(q, 2))
	enqueue(s, q, 1, batch.MaxAttempts(q, 1))
	s.waitCount(2, Died)
	for _, dead := range s.waitDeadLetters(q.Driver(), 2) {
		equal(s, dead.Reason, batch.ReasonAttempts, "Reason of %s", dead.ID)
		equal(s, dead.Deliveries, 2, "Deliveries of %s", dead.ID)
		equal(s, dead.LastError, "asked for", "LastError of %s", dead.ID)
	}
}

func caseRetryCapped(s *stage) {
	q := s.portable()
	capped := new(cappedHook)
	w := s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		switch job.Args.N {
		case 0:
			return batch.RetryAfter(s.info.Limits.MaxRetryDelay+1000*time.Hour, errors.New("much later"))
		case 1:
			return batch.Snooze(s.info.Limits.MaxRetryDelay + 1000*time.Hour)
		case 2:
			if job.Attempt == 1 {
				return batch.RetryAfter(-time.Hour, errors.New("before now"))
			}
		case 3:
			if job.Attempt == 1 {
				return errors.New("with a policy of a negative delay")
			}
		}
		return nil
	}, func(c *batch.WorkerConfig) {
		c.RetryPolicy = batch.ConstantBackoff(-time.Hour)
		c.Hooks = append(c.Hooks, capped)
	})
	for n := range 4 {
		enqueue(s, q, n)
	}
	s.waitCount(2, Done)
	s.waitDepth(q.Driver(), driver.Depth{Scheduled: 2})
	s.check(w.Stop(s.ctx), "stop the worker, whose hooks are told after the broker")
	for n := range 4 {
		got, told := capped.of.Load(name(n))
		equal(s, told, true, "whether a hook was told of a retry of %s", name(n))
		equal(s, got, any(n < 2), "Capped of %s", name(n))
	}
}

// cappedHook has whether the last retry of a job was shortened, by its ID.
type cappedHook struct{ of sync.Map }

// OnJobEnd takes note of a retry.
func (h *cappedHook) OnJobEnd(_ context.Context, e batch.JobEnd) {
	if e.Verdict.Outcome == batch.OutcomeRetry {
		h.of.Store(e.Job.ID, e.Verdict.Capped)
	}
}

func caseStartOrder(s *stage) {
	d := s.declared()
	late := message("late")
	late.Kind, late.ExpiresAt = "conformance.unknown", late.EnqueuedAt.Add(-time.Minute)
	poison := message("poison")
	poison.Kind, poison.ExpiresAt = late.Kind, late.ExpiresAt
	s.put(d, poison)
	s.receiveOne(s.consume(d, 1))
	for range 2 {
		d, _, _ = s.nextHolder(d)
	}
	after := s.vanish(d)
	d = s.open()
	s.put(d, late)
	s.work(s.open(), nothing, func(c *batch.WorkerConfig) { c.MaxRedeliveries = 2 })
	s.waitBy(after+s.overdue(), "the deaths", func() bool { return s.history.Count(Died) >= 2 })
	for _, dead := range s.waitDeadLetters(d, 2) {
		equal(s, dead.Reason, map[string]string{"late": batch.ReasonExpired, "poison": batch.ReasonPoison}[dead.ID], "Reason of the job %s, which has expired and is of an unknown kind", dead.ID)
		equal(s, dead.Failures+dead.Bounces, 0, "Failures and Bounces of %s", dead.ID)
	}
}

// codecAs is JSON under another content type, which refuses to decode as long as it is
// told to.
type codecAs struct {
	batch.JSON
	contentType string
	refuse      func(body []byte) error // may be nil
}

// ContentType is the other content type.
func (c codecAs) ContentType() string { return c.contentType }

// Decode decodes, or refuses to.
func (c codecAs) Decode(body []byte, args any) error {
	if c.refuse != nil {
		if err := c.refuse(body); err != nil {
			return err
		}
	}
	return c.JSON.Decode(body, args)
}

func caseUnknownContentType(s *stage) {
	const contentType = "application/x-conformance"
	d := s.declared()
	m := message(name(0))
	m.ContentType, m.MaxAttempts = contentType, 1
	s.put(d, m)
	ignorant := s.work(s.open(), nothing)
	s.wait("a worker without the codec to put the job back", func() bool { return s.history.Count(Noted, Done, Died) > 0 })
	equal(s, s.history.Count(Started, Died), 0, "starts and deaths on a worker without the codec")
	s.check(ignorant.Stop(s.ctx), "stop the worker without the codec")
	s.work(s.open(), nothing, func(c *batch.WorkerConfig) {
		c.Codecs = []batch.Codec{batch.JSON{}, codecAs{contentType: contentType}}
	})
	s.waitCount(1, Done, Died)
	s.check(ExactCover(s.history.Events(), names(1)), "judge the history")
	s.check(AttemptCounts(s.history.Events()), "judge the history")
}

func caseUnreadableLater(s *stage) {
	const bound = 300 * time.Millisecond
	const contentType = "application/x-conformance"
	var refused atomic.Int32
	codec := codecAs{contentType: contentType, refuse: func(body []byte) error {
		if strings.Contains(string(body), "never") || refused.Add(1) <= 1 {
			return fmt.Errorf("decode: %w", batch.Unreadable(errors.New("no key yet")))
		}
		return nil
	}}
	d := s.declared()
	later, never := message("later"), message("never")
	later.ContentType, later.MaxAttempts = contentType, 1
	never.ContentType, never.MaxAttempts, never.Body = contentType, 1, []byte(`{"data":"never"}`)
	work := func(bounceTimeout time.Duration) *batch.Worker {
		return s.work(s.open(), nothing, func(c *batch.WorkerConfig) {
			c.Codecs, c.BounceTimeout = []batch.Codec{codec}, bounceTimeout
		})
	}
	s.put(d, later)
	w := work(time.Hour)
	s.waitCount(1, Done, Died)
	equal(s, s.history.Count(Done), 1, "jobs done that could be read at last")
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	s.check(w.Stop(s.ctx), "stop the worker")
	work(bound)
	s.put(d, never)
	s.waitCount(1, Died)
	dead := s.waitDeadLetters(d, 1)[0]
	equal(s, dead.ID, "never", "the dead letter")
	equal(s, dead.Reason, batch.ReasonBodyUnavailable, "Reason of a body that was never readable")
	equal(s, dead.Failures, 0, "Failures of a body that was never readable")
}

func caseSuspectAlone(s *stage) {
	const companions, most = 6, 2
	d := s.declared()
	s.put(d, message("suspect"))
	s.receiveOne(s.consume(d, 1))
	after := s.vanish(d)
	q := s.portable()
	for n := range companions {
		enqueue(s, q, n)
	}
	s.pass(after + s.lease()/4) // so that the worker receives them together
	var running atomic.Int32
	s.work(s.open(), func(ctx context.Context, job *batch.Job[task]) error {
		defer running.Add(-1)
		n := running.Add(1)
		if job.ID != "suspect" {
			return busy(ctx, 30*time.Millisecond)
		}
		for range 5 {
			if err := busy(ctx, 20*time.Millisecond); err != nil {
				return err
			}
			if more := running.Load(); n > 1 || more > 1 {
				s.problem("%d jobs run beside a suspect", max(n, more)-1)
			}
		}
		return nil
	}, concurrency(3, companions), func(c *batch.WorkerConfig) { c.MaxRedeliveries, c.MaxAttempts = most, 1 })
	s.waitBy(after+s.overdue(), "the suspect and its companions", func() bool { return s.history.Count(Done, Died) > companions })
	equal(s, s.history.Count(Died, Failed), 0, "deaths and failures")
	for _, e := range s.history.Events() {
		if e.Op == Done {
			equal(s, e.Attempt, 1, "Attempt of %s", e.ID)
		}
	}
	s.waitDepth(q.Driver(), driver.Depth{})
}
