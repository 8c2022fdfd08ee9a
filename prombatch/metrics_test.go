package prombatch_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/prombatch"
)

// TestMetrics lets jobs go every way, and looks at what was counted.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := memory.New(), prombatch.New(prombatch.Config{})
		q := batch.NewQueue(d, "mails", batch.WithHooks(m))
		enqueue(t, q, Mail{}, Mail{}, Mail{Fail: "once"}, Mail{Fail: "permanent"}, Report{})
		for range 2 {
			if _, err := q.Enqueue(t.Context(), Mail{}, batch.Unique(q, "a"), batch.Delay(q, time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		var snoozed atomic.Bool
		w := batch.NewWorker(d, batch.WorkerConfig{
			Queues: []batch.WorkerQueue{{Name: "mails"}}, Hooks: []batch.Hook{m}, BounceTimeout: time.Hour,
			Middleware: []batch.Middleware{func(next batch.Handler) batch.Handler {
				return func(ctx context.Context, job *batch.JobInfo) error {
					if snoozed.CompareAndSwap(false, true) {
						return batch.Snooze(time.Second)
					}
					time.Sleep(2 * time.Second)
					return next(ctx, job)
				}
			}},
		})
		batch.Handle(w, handle)
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		gather(t, m).expect(t, samples{"batch_handlers_running{kind=mail,queue=mails}": 3})
		time.Sleep(3 * time.Hour)
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := gather(t, m)
		const mail = "kind=mail,queue=mails"
		got.expect(t, samples{
			"batch_enqueues_total{" + mail + ",result=stored}":                          5,
			"batch_enqueues_total{" + mail + ",result=duplicate}":                       1,
			"batch_enqueues_total{kind=report,queue=mails,result=stored}":               1,
			"batch_job_outcomes_total{kind=mail,outcome=done,queue=mails}":              4,
			"batch_job_outcomes_total{kind=mail,outcome=retried,queue=mails}":           1,
			"batch_job_outcomes_total{kind=mail,outcome=snoozed,queue=mails}":           1,
			"batch_job_outcomes_total{kind=mail,outcome=dead,queue=mails}":              1,
			"batch_job_outcomes_total{kind=report,outcome=dead,queue=mails}":            1,
			"batch_job_duration_seconds_count{kind=mail,outcome=done,queue=mails}":      4,
			"batch_job_duration_seconds_sum{kind=mail,outcome=done,queue=mails}":        8,
			"batch_job_dead_letters_total{" + mail + ",reason=permanent}":               1,
			"batch_job_dead_letters_total{kind=report,queue=mails,reason=unknown-kind}": 1,
			"batch_job_wait_seconds_count{" + mail + "}":                                5,
			"batch_job_wait_seconds_sum{" + mail + "}":                                  60, // four at once, and one with a delay
			"batch_handlers_running{" + mail + "}":                                      0,
		})
		if n := got["batch_job_outcomes_total{kind=report,outcome=bounced,queue=mails}"]; n < 10 {
			t.Errorf("a job that no worker knows bounced %v times in an hour", n)
		}
		got.absent(t, "batch_job_duration_seconds_count{kind=report", "batch_handlers_stuck", "batch_leases_lost", "batch_broker_faults")
	})
}

// TestMetricsOfTrouble has a handler that ignores its context, a job that is given back, and one whose lease is lost.
func TestMetricsOfTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := memory.New(), prombatch.New(prombatch.Config{})
		q := batch.NewQueue(d, "mails")
		release := make(chan struct{})
		w := batch.NewWorker(d, batch.WorkerConfig{
			Queues: []batch.WorkerQueue{{Name: "mails"}}, Hooks: []batch.Hook{m}, StuckAfter: time.Second, Timeout: time.Minute,
			RetryPolicy: batch.ConstantBackoff(time.Hour),
		})
		batch.Handle(w, func(ctx context.Context, job *batch.Job[Mail]) error {
			if job.Args.Fail == "stuck" {
				<-release
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		enqueue(t, q, Mail{Fail: "stuck"})
		time.Sleep(62 * time.Second)
		gather(t, m).expect(t, samples{
			"batch_handlers_stuck_total{kind=mail,queue=mails}":               1,
			"batch_handlers_running{kind=mail,queue=mails}":                   0,
			"batch_job_outcomes_total{kind=mail,outcome=retried,queue=mails}": 1,
		})
		if err := q.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		enqueue(t, q, Mail{Fail: "lost"})
		time.Sleep(time.Second)
		if err := q.Delete(t.Context()); err != nil { // which takes the lease away
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		enqueue(t, q, Mail{Fail: "given back"})
		time.Sleep(time.Second)
		close(release)
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		gather(t, m).expect(t, samples{
			"batch_leases_lost_total{kind=mail,queue=mails}":                   1,
			"batch_job_outcomes_total{kind=mail,outcome=lost,queue=mails}":     1,
			"batch_job_outcomes_total{kind=mail,outcome=released,queue=mails}": 1,
			"batch_handlers_running{kind=mail,queue=mails}":                    0,
		})
	})
}

// TestMetricsOfFaults counts calls that failed, by queue and call, and a job that is suspected.
func TestMetricsOfFaults(t *testing.T) {
	m := prombatch.New(prombatch.Config{})
	m.OnFault(t.Context(), batch.Fault{Queue: "mails", Op: batch.OpReceive, Err: batch.ErrUnavailable})
	m.OnFault(t.Context(), batch.Fault{Queue: "mails", Op: batch.OpReceive, Err: batch.ErrUnavailable})
	m.OnSuspect(t.Context(), batch.Suspect{Job: &batch.JobInfo{Queue: "mails", Kind: "mail"}})
	m.OnEnqueueEnd(t.Context(), batch.EnqueueEnd{Queue: "mails", Kind: "mail", Err: batch.ErrUnavailable, Fate: driver.FateUnknown, Duration: time.Second})
	m.OnEnqueueEnd(t.Context(), batch.EnqueueEnd{Queue: "mails", Kind: "mail", Err: batch.ErrInvalid, Fate: driver.FateNotStored})
	gather(t, m).expect(t, samples{
		"batch_broker_faults_total{op=receive,queue=mails}":             2,
		"batch_jobs_suspected_total{kind=mail,queue=mails}":             1,
		"batch_enqueues_total{kind=mail,queue=mails,result=unknown}":    1,
		"batch_enqueues_total{kind=mail,queue=mails,result=not_stored}": 1,
		"batch_enqueue_duration_seconds_count{kind=mail,queue=mails}":   1,
		"batch_enqueue_duration_seconds_sum{kind=mail,queue=mails}":     1,
	})
}

// The clock of a producer that is ahead makes no negative waiting time.
func TestWaitIsNotNegative(t *testing.T) {
	m := prombatch.New(prombatch.Config{})
	job := &batch.JobInfo{Queue: "mails", Kind: "mail", Attempt: 1, Deliveries: 1, EnqueuedAt: time.Now().Add(time.Hour)}
	m.OnJobStart(t.Context(), job)
	job.EnqueuedAt = time.Time{} // by another program
	m.OnJobStart(t.Context(), job)
	gather(t, m).expect(t, samples{
		"batch_job_wait_seconds_count{kind=mail,queue=mails}": 1,
		"batch_job_wait_seconds_sum{kind=mail,queue=mails}":   0,
	})
}

// Jobs that a worker without their handler has put back, as old ones do in a rollout, have waited like others.
func TestWaitOfBouncedJobs(t *testing.T) {
	m := prombatch.New(prombatch.Config{})
	for _, job := range []batch.JobInfo{
		{Attempt: 1, Deliveries: 1}, {Attempt: 1, Deliveries: 3, Bounces: 2}, // these start for the first time
		{Attempt: 1, Deliveries: 2}, {Attempt: 2, Deliveries: 2}, {Attempt: 1, Deliveries: 4, Bounces: 2},
	} {
		job.Queue, job.Kind, job.EnqueuedAt = "mails", "mail", time.Now()
		m.OnJobStart(t.Context(), &job)
	}
	gather(t, m).expect(t, samples{"batch_job_wait_seconds_count{kind=mail,queue=mails}": 2})
}

// A program that enqueues chooses names. They are bounded, and what is no text is no label.
func TestLabelsAreBounded(t *testing.T) {
	m := prombatch.New(prombatch.Config{MaxKinds: 2, MaxQueues: 3})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for n := range 20 {
				job := &batch.JobInfo{Queue: fmt.Sprint("q", n), Kind: fmt.Sprint("k", i)}
				m.OnJobStart(t.Context(), job)
				m.OnJobEnd(t.Context(), batch.JobEnd{Job: job, Started: true, Verdict: batch.Verdict{Outcome: batch.OutcomeDone}})
			}
		})
	}
	all.Wait()
	m.OnFault(t.Context(), batch.Fault{Queue: "\xff\xfe", Op: batch.OpReceive})
	got := gather(t, m)
	kinds, queues := make(map[string]bool), make(map[string]bool)
	sum := 0.0
	for name, value := range got {
		if labels, is := strings.CutPrefix(name, "batch_job_outcomes_total{kind="); is {
			kind, rest, _ := strings.Cut(labels, ",outcome=done,queue=")
			kinds[kind], queues[rest] = true, true
			sum += value
		}
		if strings.HasPrefix(name, "batch_handlers_running") && value != 0 {
			t.Errorf("%s is %v, want 0", name, value)
		}
	}
	if len(kinds) != 3 || len(queues) != 4 || !kinds[prombatch.Other] || !queues[prombatch.Other+"}"] || sum != 1000 {
		t.Errorf("kinds %v, queues %v, %v jobs in all", kinds, queues, sum)
	}
	got.expect(t, samples{"batch_broker_faults_total{op=receive,queue=other}": 1})
}

func TestNewRefuses(t *testing.T) {
	for name, config := range map[string]prombatch.Config{
		"kinds":    {MaxKinds: -1},
		"queues":   {MaxQueues: 1_000_000},
		"empty":    {DurationBuckets: []float64{}},
		"falling":  {DurationBuckets: []float64{2, 1}},
		"zero":     {WaitBuckets: []float64{0, 1}},
		"infinity": {WaitBuckets: []float64{1, math.Inf(1)}},
		"NaN":      {WaitBuckets: []float64{math.NaN()}},
	} {
		if _, err := prombatch.TryNew(config); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("New did not panic")
		}
	}()
	prombatch.New(prombatch.Config{MaxKinds: -1})
}

// One value may watch any number of queues and workers.
func TestMetricsAreAHook(t *testing.T) {
	m := prombatch.New(prombatch.Config{})
	d := memory.New()
	if _, err := batch.TryNewQueue(d, "mails", batch.WithHooks(m)); err != nil {
		t.Error(err)
	}
	if _, err := batch.TryNewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "mails"}}, Hooks: []batch.Hook{m}}); err != nil {
		t.Error(err)
	}
}
