package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// seen is a settlement as the broker saw it.
type seen struct {
	outcome driver.Outcome
	reason  string
	strip   bool
	text    string
}

// TestWhatIsTooLargeIsKeptInAFormThatFits has a broker that takes a settlement only from a
// given form on. Each form is tried at once, reported once, and after the one before.
func TestWhatIsTooLargeIsKeptInAFormThatFits(t *testing.T) {
	long := strings.Repeat("x", 5000)
	const marked = "[shortened, as the job is too large for the broker]"
	for name, test := range map[string]struct {
		err      error // of the handler
		fits     func(*driver.Settlement) bool
		remedies []batch.Remedy
		last     seen
		gone     bool // the job is given up
	}{
		"short text": {
			errors.New(long), func(s *driver.Settlement) bool { return len(s.Error) <= 200 },
			[]batch.Remedy{batch.RemedyShorten}, seen{outcome: driver.OutcomeRetry, text: marked}, false,
		},
		"dead": {
			errors.New(long), func(s *driver.Settlement) bool { return s.Outcome == driver.OutcomeDead },
			[]batch.Remedy{batch.RemedyShorten, batch.RemedyDeadLetter},
			seen{driver.OutcomeDead, driver.ReasonTooLarge, false, "too large for the broker with its history; last error: xxx"}, false,
		},
		"short text already": {
			errors.New("no"), func(s *driver.Settlement) bool { return s.Outcome == driver.OutcomeDead },
			[]batch.Remedy{batch.RemedyDeadLetter},
			seen{driver.OutcomeDead, driver.ReasonTooLarge, false, "last error: no"}, false,
		},
		"without headers": {
			errors.New("no"), func(s *driver.Settlement) bool { return s.Strip },
			[]batch.Remedy{batch.RemedyDeadLetter, batch.RemedyStrip},
			seen{driver.OutcomeDead, driver.ReasonTooLarge, true, "headers of 7 bytes are missing, as the job did not fit with them (scripted: settle: too large: 9 bytes)"}, false,
		},
		"dead for another reason": {
			batch.Permanent(errors.New(long)), func(s *driver.Settlement) bool { return s.Strip },
			[]batch.Remedy{batch.RemedyShorten, batch.RemedyStrip},
			seen{driver.OutcomeDead, driver.ReasonPermanent, true, "headers of 7 bytes are missing"}, false,
		},
		"never": {
			errors.New(long), func(*driver.Settlement) bool { return false },
			[]batch.Remedy{batch.RemedyShorten, batch.RemedyDeadLetter, batch.RemedyStrip},
			seen{driver.OutcomeDead, driver.ReasonTooLarge, true, "headers of 7 bytes are missing"}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, book := newScripted(), &logbook{}
				var mu sync.Mutex
				var tried []seen
				d.onSettleEach = func(s *driver.Settlement) error {
					mu.Lock()
					tried = append(tried, seen{s.Outcome, s.Reason, s.Strip, s.Error})
					mu.Unlock()
					if test.fits(s) {
						return nil
					}
					return &driver.Error{Driver: "scripted", Op: "settle", Kind: driver.ErrTooLarge, Fate: driver.FateNotStored, Err: errors.New("9 bytes")}
				}
				r := newRig(t, d, func(c *batch.WorkerConfig) {
					c.Queues[0].Concurrency, c.Queues[0].Lease = 1, time.Hour
					c.RetryPolicy = batch.ConstantBackoff(time.Hour)
					c.Log = book.logger(slog.LevelWarn)
				})
				batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return test.err })
				id := r.enqueue(t, task{}, batch.Header(r.queue, "name", "abc"))
				start := time.Now()
				r.start(t)
				<-r.events.ended
				synctest.Wait()
				if took := time.Since(start); took != 0 {
					t.Errorf("it took %s, want all at once", took)
				}
				mu.Lock()
				last := tried[len(tried)-1]
				if len(tried) != len(test.remedies)+1 || last.outcome != test.last.outcome || last.reason != test.last.reason ||
					last.strip != test.last.strip || !strings.Contains(last.text, test.last.text) {
					t.Errorf("%d tries, the last %+v; want %d and %+v", len(tried), last, len(test.remedies)+1, test.last)
				}
				for i, s := range tried[1:] {
					if len(s.text) > 200 && !s.strip || len(s.text) > 400 {
						t.Errorf("try %d has an error of %d bytes", i+2, len(s.text))
					}
				}
				mu.Unlock()
				var remedies []batch.Remedy
				gone := 0
				r.events.mu.Lock()
				for _, f := range r.events.faults {
					switch {
					case f.Op != batch.OpSettle || f.Jobs != 1 || f.RetryIn != 0 || !errors.Is(f.Err, batch.ErrTooLarge):
						t.Errorf("fault %+v", f)
					case f.Remedy == "":
						gone++
					default:
						remedies = append(remedies, f.Remedy)
						if f.Job == nil || f.Job.ID != id {
							t.Errorf("fault about job %+v, want %s", f.Job, id)
						}
					}
				}
				r.events.mu.Unlock()
				if !slices.Equal(remedies, test.remedies) || gone != count01(test.gone) {
					t.Errorf("remedies %q and given up %d times, want %q and %v", remedies, gone, test.remedies, test.gone)
				}
				d.mu.Lock()
				if len(d.abandoned) != count01(test.gone) {
					t.Errorf("abandoned %v", d.abandoned)
				}
				d.mu.Unlock()
				r.stop(t)
				var want []string
				for _, remedy := range test.remedies {
					level := "ERROR"
					if remedy == batch.RemedyShorten {
						level = "WARN"
					}
					want = append(want, fmt.Sprintf(`t=0s level=%s msg="job is too large for the broker with its history" queue=tasks kind=task id=%s .*remedy=.?%s.*`, level, id, remedy))
				}
				var got []string
				for _, line := range book.lines() {
					if strings.Contains(line, "too large for the broker") {
						got = append(got, line)
					}
				}
				matchLines(t, got, want...)
			})
		})
	}
}

// count01 is 1 for true.
func count01(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A release or a job that is done adds nothing to a job: there is no form that takes less.
func TestWhatStoresNothingIsNotTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.refuse(driver.ErrTooLarge, func(*driver.Settlement) bool { return true })
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		id := r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		synctest.Wait()
		d.mu.Lock()
		if !slices.Equal(d.abandoned, []string{id}) || d.settles != 1 {
			t.Errorf("abandoned %v after %d settles, want the job after one", d.abandoned, d.settles)
		}
		d.mu.Unlock()
		r.stop(t)
	})
}

// A form that fits, and that the broker has no room for, waits like every other.
func TestWhatWasMadeToFitMayHaveToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onSettleEach = func(s *driver.Settlement) error {
			if s.Outcome == driver.OutcomeRetry {
				return driver.ErrTooLarge
			}
			return full
		}
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return errors.New("no") })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		time.Sleep(10 * time.Second)
		d.mended.Store(true)
		time.Sleep(10 * time.Second)
		page, _, err := r.queue.DeadLetters().List(t.Context(), "", 10)
		if err != nil || len(page) != 1 || page[0].Reason != batch.ReasonTooLarge {
			t.Errorf("dead letters %+v, %v; want the job as %s", page, err, batch.ReasonTooLarge)
		}
		r.stop(t)
	})
}

// stubborn is a hook that keeps the first job that is made to fit until it is closed.
type stubborn chan struct{}

func (h stubborn) OnFault(_ context.Context, f batch.Fault) {
	if f.Remedy != "" {
		<-h
	}
}

// A hook that is told of a job which is too large holds up no other: those of the same
// request that were stored do not wait for it.
func TestAHookOnWhatIsTooLargeHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.refuse(driver.ErrTooLarge, func(s *driver.Settlement) bool {
			return string(s.Delivery.Body) == `{"N":1}` && s.Outcome == driver.OutcomeRetry
		})
		d.slowSettle = time.Second
		hook := make(stubborn)
		r := newRig(t, d, func(c *batch.WorkerConfig) {
			c.RetryPolicy = batch.ConstantBackoff(time.Hour)
			c.Queues[0].Concurrency, c.Queues[0].Prefetch = 3, batch.NoPrefetch
			c.Hooks = append(c.Hooks, hook)
		})
		running := make(chan struct{}, 3)
		end := make(chan struct{})
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			if job.Args.N < 3 {
				return errors.New("later")
			}
			running <- struct{}{}
			<-end
			return nil
		})
		r.start(t)
		for n := range 3 { // while the first is being settled, the others end, and then share a request
			r.enqueue(t, task{n})
			<-r.events.ended
		}
		time.Sleep(3 * time.Second)
		for n := range 3 {
			r.enqueue(t, task{3 + n})
		}
		synctest.Wait()
		if n := len(running); n != 2 {
			t.Errorf("%d jobs run beside one that a hook keeps, want the other 2 places to be free", n)
		}
		close(hook)
		close(end)
		synctest.Wait()
		r.stop(t)
	})
}
