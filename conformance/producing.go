package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var producingCases = []Case{
	{Name: "options", Rule: "Options of a call come after those of its handle, the last header of a name counts, what is shared stays as it is, and a map is read when its option is made.", run: caseOptions},
	{Name: "enqueue-middleware", Rule: "An enqueue middleware may change the headers and the order of jobs and hold some back, and each result is that of its job.", run: caseEnqueueMiddleware},
	{Name: "prepared", Rule: "A prepared job is sent as it was prepared, also by way of its stored form, and its delay counts from then.", timed: true, run: casePrepared},
	{Name: "dead-handle", Rule: "The handle on dead letters counts, redrives and deletes those that it is asked to, and no others.", run: caseDeadHandle},
	{Name: "answers-missing", Rule: "What a driver gives no answer for is neither stored nor settled for certain.", run: caseAnswersMissing},
	{Name: "redrive-body", Rule: "A dead letter that is redriven with another body waits for its time with it, without a history, and is no dead letter any more.", Needs: []string{"Importer", "Inspector"}, run: caseRedriveBody},
	{Name: "import-results", Rule: "In one batch.Import, each entry that is refused is an error at its place, and a scheduled one is held back until its DueAt.", Needs: []string{"Importer", "Inspector"}, run: caseImportResults},
}

func caseOptions(s *stage) {
	q := s.portable()
	shared := map[string]string{"a": "shared", "b": "shared"}
	base := q.With(batch.Headers(q, shared), batch.MaxAttempts(q, 5)).With(batch.Header(q, "c", "base"))
	shared["b"], shared["e"] = "changed", "of no effect"
	one := base.With(batch.Header(q, "d", "one"))
	two := base.With(batch.Header(q, "d", "two"))
	for n, from := range []*portable{one, two, base, one} {
		enqueue(s, from, n, batch.Header(q, "a", fmt.Sprint(n)), batch.Header(q, "a", fmt.Sprintf("last %d", n)), batch.MaxAttempts(q, n+1))
	}
	equal(s, fmt.Sprint(shared), "map[a:shared b:changed e:of no effect]", "the map of the caller")
	c := s.consume(q.Driver(), 4)
	for n, got := range s.receiveAll(c, 4) {
		want := map[string]string{"a": fmt.Sprintf("last %d", n), "b": "shared", "c": "base"}
		if n != 2 {
			want["d"] = []string{"one", "two", "", "one"}[n]
		}
		equal(s, fmt.Sprint(got.Headers), fmt.Sprint(want), "headers of %s", got.ID)
		equal(s, got.MaxAttempts, n+1, "MaxAttempts of %s", got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
}

func caseEnqueueMiddleware(s *stage) {
	const jobs = 6
	refusal := errors.New("refused by the middleware")
	turn := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, all []*batch.EnqueueJob) []batch.Result {
			results := make([]batch.Result, len(all))
			var some []*batch.EnqueueJob // backwards, without the first
			for i := len(all) - 1; i > 0; i-- {
				all[i].Headers["for"] = all[i].ID
				some = append(some, all[i])
			}
			for k, r := range next(ctx, some) {
				results[len(all)-1-k] = r
			}
			results[0].Err = refusal
			return results
		}
	}
	d := s.open()
	q := queueOf[driver.Driver](s, d, batch.WithEnqueueMiddleware(turn))
	results, err := q.EnqueueMany(s.ctx, requests(q, jobs))
	if err == nil {
		s.failf("an enqueue of which a middleware refused one has no error")
	}
	s.is(results[0].Err, refusal, "the result of the job that was refused")
	for i, r := range results[1:] {
		s.check(r.Err, "the result of job %d", i+1)
		equal(s, r.ID, name(i+1), "the ID of result %d", i+1)
	}
	c := s.consume(d, jobs)
	for _, got := range s.receive(c, jobs-1) {
		equal(s, got.Headers["for"], got.ID, "the header that the middleware gave %s", got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func casePrepared(s *stage) {
	q := s.portable()
	plain, err := q.Prepare(s.ctx, task{N: 7}, batch.ID(q, "plain"), batch.Header(q, "a", "\x00b"), batch.MaxAttempts(q, 3), batch.Timeout(q, time.Minute))
	s.check(err, "prepare")
	text, err := json.Marshal(plain)
	s.check(err, "encode")
	var read batch.Prepared
	s.check(json.Unmarshal(text, &read), "decode")
	s.pass(20 * time.Millisecond)
	_, err = q.EnqueuePrepared(s.ctx, plain, &read)
	s.check(err, "enqueue a prepared job and its stored form")
	c := s.consume(q.Driver(), 2)
	all := s.receive(c, 2)
	for _, got := range all {
		equal(s, string(got.Body), `{"n":7}`, "Body")
		equal(s, got.Headers["a"], "\x00b", "the header")
		equal(s, got.MaxAttempts, 3, "MaxAttempts")
		equal(s, got.Timeout, time.Minute, "Timeout")
		equal(s, got.EnqueuedAt, all[0].EnqueuedAt, "EnqueuedAt")
		s.settle(c, got, driver.OutcomeDone)
	}
	s.check(c.Close(s.ctx), "close the consumer")
	if _, ok := bare(q.Driver()).(driver.Delayer); ok {
		s.preparedDelay()
	}
	if _, ok := bare(q.Driver()).(driver.Deduplicator); ok {
		u := queueOf[batch.Deduplicator](s, q.Driver())
		p, err := u.Prepare(s.ctx, task{}, batch.Unique(u, "key"))
		s.check(err, "prepare")
		for n := range 2 {
			results, err := u.EnqueuePrepared(s.ctx, p)
			s.check(err, "enqueue a prepared job with a key")
			equal(s, results[0].Duplicate, n == 1, "Duplicate of a prepared job, time %d", n)
		}
		s.finish(q.Driver(), 1)
	}
}

// preparedDelay sends a prepared job when three quarters of its delay have passed.
func (s *stage) preparedDelay() {
	const delay = 400 * time.Millisecond
	q := queueOf[batch.Delayer](s, s.open())
	begin := s.history.Now()
	p, err := q.Prepare(s.ctx, task{}, batch.Delay(q, delay))
	s.check(err, "prepare")
	s.pass(delay * 3 / 4)
	_, err = q.EnqueuePrepared(s.ctx, p)
	s.check(err, "enqueue a prepared job with a delay")
	sent := s.history.Now()
	c := s.consume(s.open(), 1)
	got := s.receiveBy(delay, c, 1)[0]
	now := s.history.Now()
	s.check(Within("the prepared job", begin, now, delay-time.Millisecond, now), "measure")
	s.check(Within("the prepared job", sent, now, 0, delay/4+s.lateness()), "measure")
	s.settle(c, got, driver.OutcomeDone)
	s.check(c.Close(s.ctx), "close the consumer")

	p, err = q.Prepare(s.ctx, task{}, batch.Delay(q, time.Hour))
	s.check(err, "prepare")
	_, err = q.EnqueuePrepared(s.ctx, p)
	s.check(err, "enqueue a prepared job with a long delay")
	if i, ok := bare(q.Driver()).(driver.Inspector); ok {
		e := s.waitList(i.(driver.Driver), driver.StateScheduled, p.ID())[0]
		s.dueIn(e, time.Hour)
	}
}

func caseDeadHandle(s *stage) {
	d := s.dead(4)
	letters := queueOf[driver.Driver](s, d).DeadLetters()
	count := func(want int64) {
		s.eventually("counting dead letters", func() error {
			got, err := letters.Count(s.ctx)
			if err == nil && got != want && got != batch.UnknownCount {
				err = fmt.Errorf("there are %d, want %d", got, want)
			}
			return err
		})
	}
	count(4)
	n, err := letters.Redrive(s.ctx, name(1), "nobody")
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven")
	count(3)
	n, err = letters.Delete(s.ctx, name(2))
	s.check(err, "delete")
	equal(s, n, 1, "dead letters deleted")
	count(2)
	c := s.consume(d, 1)
	s.next(c, name(1), "of which all others are dead or deleted")
	n, err = letters.RedriveAll(s.ctx)
	s.check(err, "redrive all")
	equal(s, n, 2, "dead letters redriven")
	for range 2 {
		s.settleDead(c, s.receiveOne(c))
	}
	count(2)
	n, err = letters.Purge(s.ctx)
	s.check(err, "purge")
	equal(s, n, 2, "dead letters purged")
	count(0)
	s.waitDepth(d, driver.Depth{})
}

func caseAnswersMissing(s *stage) {
	d := &flawed{Driver: s.open(), enqueue: func(all []*driver.Message, next func([]*driver.Message) []driver.Result) []driver.Result {
		next(all)
		return make([]driver.Result, len(all)-1)
	}, settle: func(_ context.Context, all []driver.Settlement, next func([]driver.Settlement) []error) []error {
		next(all[:len(all)-1]) // and nothing of the last
		return make([]error, len(all)-1)
	}}
	q := queueOf[driver.Driver](s, d)
	_, err := q.Enqueue(s.ctx, task{N: 0}, batch.ID(q, name(0)))
	var e *batch.EnqueueError
	if !errors.As(err, &e) || e.Fate != batch.FateUnknown {
		s.failf("an enqueue that got no answer: the error is %s, want an *EnqueueError whose fate is unknown", quoteErr(err))
	}
	w := s.work(d, nothing, func(c *batch.WorkerConfig) { c.SettleTimeout = 200 * time.Millisecond })
	s.waitCount(1, Done)
	s.wait("a settlement that got no answer to be reported", func() bool {
		for _, e := range s.history.Events() {
			if e.Op == Noted && e.ID == "" {
				return true
			}
		}
		return false
	})
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	if err := w.Stop(ctx); err == nil && s.history.Count(Done) == 1 {
		s.problem("Stop returned nil, although a job could not be settled")
	}
}

func caseRedriveBody(s *stage) {
	d := s.dead(2)
	q := queueOf[batch.Importer](s, d)
	letters := s.waitDeadLetters(d, 2)
	begin := time.Now()
	s.check(batch.RedriveWithBody(s.ctx, q, letters[1], []byte(`{"n":99}`)), "redrive with another body")
	equal(s, s.waitDeadLetters(d, 1)[0].ID, letters[0].ID, "the dead letter that is left")
	e := s.waitList(d, driver.StateScheduled, letters[1].ID)[0]
	equal(s, string(e.Body), `{"n":99}`, "Body of what was redriven")
	equal(s, e.Failures+e.Deliveries+e.Bounces, 0, "Failures, Deliveries and Bounces of what was redriven")
	equal(s, e.LastError, "", "LastError of what was redriven")
	equal(s, e.Kind+e.ContentType, letters[1].Kind+letters[1].ContentType, "Kind and ContentType of what was redriven")
	if off := e.DueAt.Sub(begin); off < time.Second || off > time.Minute {
		s.failf("what was redriven with another body is due in %s, want some seconds", off)
	}
	s.is(batch.RedriveWithBody(s.ctx, q, letters[1], nil), batch.ErrNotFound, "redrive with another body what is no dead letter any more")
}

func caseImportResults(s *stage) {
	const jobs = 9
	d := s.declared()
	q := queueOf[batch.Importer](s, d)
	due := time.Now().Add(3 * time.Hour)
	var all []batch.Entry
	var good []string
	bad := map[int]bool{0: true, 3: true, 4: true, 8: true}
	for i := range jobs {
		e := batch.Entry{Message: *message(name(i)), State: batch.StateScheduled, DueAt: due}
		if bad[i] {
			e.Kind = "no kind"
		} else {
			good = append(good, e.ID)
		}
		all = append(all, e)
	}
	results, err := batch.Import(s.ctx, q, all)
	var many *batch.ManyError
	if !errors.As(err, &many) {
		s.failf("the error of an import of which some are refused is %s, want a *ManyError", quoteErr(err))
	}
	equal(s, len(results), jobs, "results")
	for i, r := range results {
		equal(s, r.ID, name(i), "the ID of result %d", i)
		if bad[i] {
			s.is(r.Err, batch.ErrInvalid, "the result of entry %d, which is out of bounds", i)
		} else {
			s.check(r.Err, "the result of entry %d, beside others that are out of bounds", i)
		}
	}
	for _, e := range s.waitList(d, driver.StateScheduled, good...) {
		s.dueIn(e, time.Until(due))
	}
	s.waitDepth(d, driver.Depth{Scheduled: int64(len(good))})
}
