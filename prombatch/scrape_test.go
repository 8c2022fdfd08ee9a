package prombatch_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/keda"
	"github.com/batch-go/batch/prombatch"
)

// serve serves metrics to a scraper.
func serve(t *testing.T, collectors ...prometheus.Collector) *httptest.Server {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectors...)
	s := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	t.Cleanup(s.Close)
	return s
}

// TestPrometheusScrapes has a real Prometheus scrape a program that works, and one whose broker is away. The query of
// docs/deploy.md has the number of jobs that need workers of the first, and no result for the second.
func TestPrometheusScrapes(t *testing.T) {
	d, m := memory.New(), prombatch.New(prombatch.Config{})
	q := batch.NewQueue(d, "mails", batch.WithHooks(m))
	release, started := make(chan struct{}), make(chan struct{}, 10)
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "mails", Concurrency: 1, Prefetch: batch.NoPrefetch}}, Hooks: []batch.Hook{m},
	})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Mail]) error {
		if job.Args.Fail == "" {
			return nil
		}
		started <- struct{}{}
		<-release
		return batch.Permanent(context.Canceled)
	})
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		enqueue(t, q, Mail{})
	}
	enqueue(t, q, Mail{Fail: "later"})
	<-started
	enqueue(t, q, Mail{}, Mail{}, Mail{})

	well := serve(t, m, prombatch.NewDepths(d, prombatch.DepthConfig{Queues: []string{"mails"}, CacheFor: time.Millisecond}))
	away := serve(t, prombatch.NewDepths(&telling{}, prombatch.DepthConfig{Queues: []string{"lost"}, Timeout: 100 * time.Millisecond, CacheFor: time.Millisecond}))
	p := startServer(t, map[string]string{"well": well.URL, "away": away.URL})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	is := func(want float64) func(float64) bool { return func(got float64) bool { return got == want } }
	p.await(`up{job="well"}`, is(1))
	p.await(`batch_job_outcomes_total{queue="mails",kind="mail",outcome="done"}`, is(4))
	p.await(`count(batch_job_duration_seconds_bucket{queue="mails",outcome="done"})`, is(float64(len(prombatch.DefaultDurationBuckets())+1)))
	p.await(`batch_queue_jobs{queue="mails",state="waiting"}`, is(3))
	p.await(`batch_queue_jobs{queue="mails",state="running"}`, is(1))
	p.await(scaling(t, "mails"), is(4))

	// The scrape of the other one succeeds, which it does only within Prometheus's own half second.
	p.await(`up{job="away"}`, is(1))
	p.await(`batch_queue_up{queue="lost"}`, is(0))
	for _, query := range []string{`batch_queue_jobs{queue="lost"}`, scaling(t, "lost")} {
		if values, err := p.query(t.Context(), query); err != nil || len(values) != 0 {
			t.Errorf("%s has the values %v, error %v; want none", query, values, err)
		}
	}

	close(release)
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.await(`batch_job_dead_letters_total{queue="mails",reason="permanent"}`, is(1))
	p.await(`sum(batch_handlers_running{queue="mails"})`, is(0))
}

// scaling is the query of the trigger in docs/deploy.md.
func scaling(t *testing.T, queue string) string {
	t.Helper()
	blocks, err := keda.Triggers("Any broker, by Prometheus", queue)
	if err != nil {
		t.Fatal(err)
	}
	trigger := blocks[0][0]
	if trigger.Type != "prometheus" || trigger.Metadata["ignoreNullValues"] != "false" {
		t.Errorf("the trigger is %+v", trigger)
	}
	return trigger.Metadata["query"]
}
