package batch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// A slot's timer is reused, and may fire for a job that has ended: that ends neither the job
// after it nor one that has returned.
func TestTimerOfAnEarlierJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := 0
		o := &timeout{stuck: func(*task, time.Duration) { stuck++ }}
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
		if stuck != 0 {
			t.Error("a handler that has returned was taken for stuck")
		}
		second := begin()
		time.Sleep(2*time.Minute + time.Second)
		if stuck != 1 || second.ctx.Err() == nil {
			t.Errorf("%d were taken for stuck, want the second", stuck)
		}
		o.stop()
	})
}
