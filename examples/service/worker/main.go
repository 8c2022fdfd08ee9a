// Command worker is the half of the service that works. The other half is the API beside it.
//
//	BATCH_URL=redis://localhost:6379 go run ./examples/service/worker
package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/service/jobs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, err := jobs.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	w := newWorker(d, func(ctx context.Context, userID int) error {
		slog.InfoContext(ctx, "mail sent", "user", userID)
		return nil
	})
	go serveProbes(":8081", w)
	if err := w.Run(ctx); err != nil { // until SIGTERM
		log.Fatal(err)
	}
	if err := d.Close(context.WithoutCancel(ctx)); err != nil {
		log.Fatal(err)
	}
}

// newWorker makes the worker. What sends mails is passed in, so that tests need no mail server.
func newWorker(d batch.Driver, send func(ctx context.Context, userID int) error) *batch.Worker {
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: jobs.Emails, Concurrency: 20}}})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[jobs.Welcome]) error {
		return send(ctx, job.Args.UserID)
	}, batch.HandleMaxAttempts(10))
	return w
}

// serveProbes answers Kubernetes. The worker is alive as long as this program answers: a restart does not mend a
// broker that is away, so the broker is not asked.
func serveProbes(address string, w *batch.Worker) {
	if err := http.ListenAndServe(address, probes(w)); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// probes answers GET /livez, with 503 once the worker has failed or stopped.
func probes(w *batch.Worker) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(rw http.ResponseWriter, _ *http.Request) {
		select {
		case <-w.Failed():
			http.Error(rw, "the worker has failed", http.StatusServiceUnavailable)
		case <-w.Stopped():
			http.Error(rw, "the worker has stopped", http.StatusServiceUnavailable)
		default:
		}
	})
	return mux
}
