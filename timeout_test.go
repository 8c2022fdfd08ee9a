package batch

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// A slot's timer is reused, and may fire for a job that has ended: that ends neither the job
// after it nor one that has returned.
func TestTimerOfAnEarlierJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stuck atomic.Int64
		o := &timeout{stuck: func(*task, time.Duration) { stuck.Add(1) }}
		begin := func() *task {
			one := &task{delivery: &driver.Delivery{}, job: JobInfo{Timeout: time.Minute}}
			one.ctx.begin(t.Context(), time.Now().Add(time.Minute))
			one.overdueAt = one.ctx.deadline.Add(time.Minute)
			o.start(one)
			return one
		}
		first := begin()
		o.tick()
		if first.ctx.Err() != nil {
			t.Errorf("a timer that fired early ended the job: %v", first.ctx.Err())
		}
		time.Sleep(time.Minute + time.Second)
		if first.ctx.Err() == nil {
			t.Error("the job did not end with its timeout, after the timer had fired early")
		}
		o.stop()
		time.Sleep(time.Hour)
		o.tick()
		if stuck.Load() != 0 {
			t.Error("a handler that has returned was taken for stuck")
		}
		second := begin()
		time.Sleep(2*time.Minute + time.Second)
		if stuck.Load() != 1 || second.ctx.Err() == nil {
			t.Errorf("%d were taken for stuck, want the second", stuck.Load())
		}
		o.stop()
	})
}

// The timer of a slot is set once for many short jobs, and earlier for one whose timeout is
// shorter than what is left of it.
func TestTimerIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &timeout{stuck: func(*task, time.Duration) { t.Error("a job was taken for stuck") }}
		run := func(bound time.Duration) time.Duration {
			one := &task{delivery: &driver.Delivery{}}
			one.ctx.begin(t.Context(), time.Now().Add(bound))
			one.overdueAt = one.ctx.deadline.Add(time.Minute)
			o.start(one)
			defer o.stop()
			time.Sleep(time.Second)
			return time.Until(o.rings)
		}
		for i, want := range []time.Duration{59 * time.Second, 58 * time.Second, 57 * time.Second} {
			if left := run(time.Minute); left != want {
				t.Errorf("job %d: the timer fires in %s, want %s", i, left, want)
			}
		}
		if left := run(10 * time.Second); left != 9*time.Second {
			t.Errorf("a job with a shorter timeout: the timer fires in %s, want 9s", left)
		}
		o.close()
		if !o.rings.IsZero() {
			t.Error("the timer of a slot that has ended runs on")
		}
	})
}
