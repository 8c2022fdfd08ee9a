package cron_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/driver/memory"
)

// weekdays are the schedules of a program, with runs that do not overlap.
func weekdays(q *batch.Queue[*memory.Driver]) cron.Source[*memory.Driver] {
	return cron.Fixed(cron.NewEntry(q, "weekdays", cron.Expr("30 7 * * MON-FRI"), Report{Team: "sales"}, batch.Group(q, "weekdays")))
}

// TestSchedulesOfAWeek is the test of the documentation: how a program tests its schedules.
func TestSchedulesOfAWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		reports := batch.NewQueue(d, "reports")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- cron.New(reports, weekdays(reports)).Run(ctx) }()
		time.Sleep(7 * 24 * time.Hour) // of fake time, which begins on a Saturday, 1 January 2000
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		batchtest.RequireEnqueuedMany[Report](t, reports, 5, batchtest.WithArgs(Report{Team: "sales"}))
	})
}
