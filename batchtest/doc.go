// Package batchtest tests what a program does with jobs, without a broker: its handlers, what it
// enqueues, and what becomes of jobs over hours of retries. It needs the standard library and the
// memory driver.
//
// # A handler
//
// [NewJob] makes a job in one line, for a handler that is called like any other function, or for a
// middleware:
//
//	err := greet(t.Context(), batchtest.NewJob(t, Welcome{UserID: 7}, batchtest.Attempt(3)))
//
// [Work] calls the handler as a worker does, because it is a worker: the args go through the codec,
// the context has the job's deadline and ends with its cause, middleware takes part, a panic becomes
// a [batch.PanicError], and the [Result] has the verdict.
//
//	result := batchtest.Work(t, greet, Welcome{UserID: 7}, batchtest.Attempt(25))
//
// The error of either says what the handler asks for: [RequireDone], [RequireRetry],
// [RequireRetryAfter], [RequireSnooze], [RequirePermanent] and [RequirePanic] hold it to one of these.
//
//	batchtest.RequireSnooze(t, result.Err, time.Hour)
//
// # What was enqueued
//
// [RequireEnqueued] finds the one job of a kind in a queue that is as the matches say, and returns it
// with its args decoded:
//
//	job := batchtest.RequireEnqueued[Welcome](t, emails,
//		batchtest.WithArgs(Welcome{UserID: 7}), batchtest.WithPriority(batch.High), batchtest.WithDelay(time.Hour))
//
// [RequireEnqueuedMany] is for several of a kind, [RequireExactly] for all that a queue has,
// [RequireNone] and [RequireEmpty] for none, and [RequireDead] for dead letters. If they fail they say
// what is there instead, and what differs.
//
// They look into the queue, so they see the jobs that are waiting or scheduled: not one that runs, and not
// one that is done. The queue's driver has to be a [batch.Inspector], and does not compile otherwise: the
// memory driver is, and so are those of Redis and NATS, on which they see what is stored on the real broker.
// A program for another broker is tested on the memory driver, which has every capability.
//
// # Until all is quiet
//
// [Drain] starts a worker and returns when its queues have nothing left to do, delays and backoffs
// included. It is for fake time, in a bubble of testing/synctest, where days take milliseconds:
//
//	synctest.Test(t, func(t *testing.T) {
//		d := memory.New()
//		emails := batch.NewQueue(d, "emails")
//		signUp(t.Context(), emails, 7)
//		batchtest.Drain(t, d, newWorker(d))
//		batchtest.RequireDead[Welcome](t, emails, batchtest.WithReason(batch.ReasonAttempts))
//	})
//
// A job that is snoozed for ever, or jobs that enqueue each other for ever, fail the test with a message
// that names them. [Start] leaves the worker running between several drains.
//
// # Failures, and tests in parallel
//
// All functions call t.Helper, and end the test with t.Fatalf. So they belong on the test's own goroutine. A
// value that no job can have, such as a priority that is none, fails the test too. No function has state of its
// own, so tests may run in parallel, each with a driver of its own. Of two tests that share a queue each
// sees the jobs of the other.
package batchtest
