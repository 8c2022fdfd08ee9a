package schedule_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/examples/service/schedule"
)

// TestDigestIsDaily lets two schedulers run for three days of fake time. There is one job a day, at seven in Berlin.
func TestDigestIsDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		ctx, stop := context.WithCancel(t.Context())
		var ended []chan error
		var metrics *prometheus.Registry
		for range 2 {
			metrics = prometheus.NewRegistry()
			s, err := schedule.New(schedule.Config{Broker: d, Log: slog.New(slog.DiscardHandler), Metrics: metrics})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() { done <- s.Run(ctx) }()
			ended = append(ended, done)
		}
		begin := time.Now() // midnight in UTC, which is one hour later in Berlin
		time.Sleep(72 * time.Hour)
		stop()
		for _, done := range ended {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		reports := batch.NewQueue(d, jobs.Reports)
		for day := range 3 {
			tick := cron.Tick{Queue: jobs.Reports, Schedule: "digest", Time: begin.AddDate(0, 0, day).Add(6 * time.Hour)}
			batchtest.RequireEnqueued[jobs.Digest](t, reports, batchtest.WithID(tick.Key()), batchtest.WithArgs(jobs.Digest{Team: "sales"}))
		}
		batchtest.RequireEnqueuedMany[jobs.Digest](t, reports, 3)
		if n := testutil.CollectAndCount(metrics, "cron_events_total"); n == 0 {
			t.Error("nothing was counted")
		}
	})
}
