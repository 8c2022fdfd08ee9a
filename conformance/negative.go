package conformance

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var negativeCases = []Case{
	{Name: "refused-enqueue", Rule: "When the broker refuses some of many jobs, each caller learns of its own, with its fate, and nothing is sent again.", run: caseRefusedEnqueue},
	{Name: "unknown-enqueue", Rule: "A job that may be stored is not sent again, and its caller is told so.", run: caseUnknownEnqueue},
	{Name: "resent-enqueue", Rule: "Jobs that are certainly not stored because the broker could not be reached are sent again, those alone, and stored once.", run: caseResentEnqueue},
	{Name: "refused-extend", Rule: "An extension that fails for some deliveries neither loses them nor the others.", leases: true, run: caseRefusedExtend},
	{Name: "refused-receive", Rule: "A worker whose Receive fails goes on when the broker is back.", run: caseRefusedReceive},
}

func caseRefusedEnqueue(s *stage) {
	const jobs = 12
	sent := make(map[string]int)
	var mu sync.Mutex
	refusal := map[string]error{
		name(0): negative(driver.ErrFull, driver.FateNotStored), name(4): negative(driver.ErrTooLarge, driver.FateNotStored),
		name(5): negative(driver.ErrUnauthorized, driver.FateNotStored), name(11): negative(driver.ErrBroker, driver.FateNotStored),
	}
	d := &flawed{Driver: s.open(), enqueue: func(all []*driver.Message, next func([]*driver.Message) []driver.Result) []driver.Result {
		mu.Lock()
		for _, m := range all {
			sent[m.ID]++
		}
		mu.Unlock()
		return storeExcept(all, func(m *driver.Message) error { return refusal[m.ID] }, next)
	}}
	q := queueOf[driver.Driver](s, d)
	results, err := q.EnqueueMany(s.ctx, requests(q, jobs))
	var many *batch.ManyError
	if !errors.As(err, &many) || many.Unconfirmed != len(refusal) {
		s.failf("the error of many enqueues of which %d were refused is %v", len(refusal), err)
	}
	var good []string
	for i, r := range results {
		want := refusal[name(i)]
		if want == nil {
			s.check(r.Err, "the result of job %d", i)
			good = append(good, name(i))
			continue
		}
		var e *batch.EnqueueError
		if !errors.As(r.Err, &e) || !errors.Is(r.Err, errors.Unwrap(want)) && !errors.Is(r.Err, want) {
			s.failf("the result of job %d is %v, want one that wraps %v", i, r.Err, want)
		}
		equal(s, e.Fate, batch.FateNotStored, "the fate of job %d", i)
		equal(s, e.ID, name(i), "the job of the error of job %d", i)
	}
	for id, n := range sent {
		equal(s, n, 1, "times that %s was sent", id)
	}
	_, err = q.Enqueue(s.ctx, task{N: 0}, batch.ID(q, name(0)))
	s.is(err, driver.ErrFull, "an enqueue that is refused alone")
	s.finish(s.open(), len(good))
	s.check(ExactCover(s.history.Events(), good), "judge the history")
}

func caseUnknownEnqueue(s *stage) {
	var sent atomic.Int32
	d := &flawed{Driver: s.open(), enqueue: func(all []*driver.Message, next func([]*driver.Message) []driver.Result) []driver.Result {
		sent.Add(int32(len(all)))
		next(all) // it is stored, and the answer is lost
		results := make([]driver.Result, len(all))
		for i := range results {
			results[i].Err = negative(driver.ErrUnavailable, driver.FateUnknown)
		}
		return results
	}}
	q := queueOf[driver.Driver](s, d)
	_, err := q.Enqueue(s.ctx, task{N: 0}, batch.ID(q, name(0)))
	var e *batch.EnqueueError
	if !errors.As(err, &e) || e.Fate != batch.FateUnknown || !errors.Is(err, driver.ErrUnavailable) {
		s.failf("an enqueue whose answer was lost: the error is %v", err)
	}
	results, _ := q.EnqueueMany(s.ctx, requests(q, 3)[1:])
	for i, r := range results {
		if !errors.As(r.Err, &e) || e.Fate != batch.FateUnknown {
			s.failf("result %d of enqueues whose answer was lost: the error is %v", i, r.Err)
		}
	}
	equal(s, sent.Load(), 3, "jobs that were sent")
	other := s.open()
	s.finish(other, 3)
	s.waitDepth(other, driver.Depth{})
	s.check(ExactCover(s.history.Events(), names(3)), "judge the history")
}

func caseResentEnqueue(s *stage) {
	const jobs = 8
	var mu sync.Mutex
	tries := make(map[string]int)
	d := &flawed{Driver: s.open(), enqueue: func(all []*driver.Message, next func([]*driver.Message) []driver.Result) []driver.Result {
		return storeExcept(all, func(m *driver.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if tries[m.ID]++; tries[m.ID] < 3 && m.ID[len(m.ID)-1]%2 == 1 {
				return negative(driver.ErrUnavailable, driver.FateNotStored)
			}
			return nil
		}, next)
	}}
	q := queueOf[driver.Driver](s, d)
	results, err := q.EnqueueMany(s.ctx, requests(q, jobs))
	s.check(err, "enqueue while the broker cannot be reached at times")
	for i, r := range results {
		equal(s, r.ID, name(i), "the ID of result %d", i)
		want := 1
		if i%2 == 1 {
			want = 3
		}
		equal(s, tries[name(i)], want, "times that job %d was sent", i)
	}
	other := s.open()
	s.finish(other, jobs)
	s.waitDepth(other, driver.Depth{})
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
}

func caseRefusedExtend(s *stage) {
	const jobs = 3
	var calls atomic.Int32
	d := &flawed{Driver: s.open(), extend: func(all []*driver.Delivery, next func([]*driver.Delivery) []error) []error {
		return except(all, func(one *driver.Delivery) error {
			if one.ID == name(1) && calls.Add(1)%2 == 1 { // every other time
				return negative(driver.ErrUnavailable, driver.FateUnknown)
			}
			return nil
		}, next)
	}}
	q := s.portable()
	s.work(d, func(ctx context.Context, _ *batch.Job[task]) error {
		select {
		case <-time.After(s.threeLeases()):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}, concurrency(jobs, 1))
	for n := range jobs {
		enqueue(s, q, n)
	}
	s.waitBy(s.threeLeases(), "long jobs", func() bool { return s.history.Count(Done, Failed, Lost) >= jobs })
	s.waitDepth(s.open(), driver.Depth{})
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
	equal(s, s.history.Count(Lost), 0, "leases lost")
}

func caseRefusedReceive(s *stage) {
	var calls atomic.Int32
	d := &flawed{Driver: s.open(), receive: func(next func() ([]*driver.Delivery, error)) ([]*driver.Delivery, error) {
		switch n := calls.Add(1); {
		case n <= 2:
			return nil, negative(driver.ErrUnavailable, driver.FateNotStored)
		case n == 3:
			return nil, negative(driver.ErrBroker, driver.FateUnknown)
		}
		return next()
	}}
	q := s.portable()
	var running atomic.Int64
	gate := s.gate()
	s.work(d, func(_ context.Context, job *batch.Job[task]) error {
		if job.Args.N >= 1000 {
			running.Add(1)
			<-gate.done
		}
		return nil
	}, concurrency(2, 2))
	for n := range 5 {
		enqueue(s, q, n)
	}
	s.waitCount(5, Done)
	s.together(q, 2, 2, &running)
	gate.open()
}
