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
	"github.com/batch-go/batch/health"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, err := jobs.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	w, probes := newProgram(d, func(ctx context.Context, userID int) error {
		slog.InfoContext(ctx, "mail sent", "user", userID)
		return nil
	})
	go serve(":8081", probes)
	if err := w.Run(ctx); err != nil { // until SIGTERM
		log.Fatal(err)
	}
	if err := d.Close(context.WithoutCancel(ctx)); err != nil {
		log.Fatal(err)
	}
}

// newWorker makes the worker alone.
func newWorker(d batch.Driver, send func(ctx context.Context, userID int) error) *batch.Worker {
	w, _ := newProgram(d, send)
	return w
}

// newProgram makes the worker, and what answers Kubernetes. What sends mails is passed in, so that tests need no mail server.
func newProgram(d batch.Driver, send func(ctx context.Context, userID int) error) (w *batch.Worker, probes http.Handler) {
	config := batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: jobs.Emails, Concurrency: 20}}}
	check := health.Watch(d, &config, health.Config{})
	w = batch.NewWorker(d, config)
	batch.Handle(w, func(ctx context.Context, job *batch.Job[jobs.Welcome]) error {
		return send(ctx, job.Args.UserID)
	}, batch.HandleMaxAttempts(10))
	mux := http.NewServeMux()
	mux.Handle("GET /livez", check.Live(w))
	mux.Handle("GET /readyz", check.Ready(w))
	return w, mux
}

// serve answers until the program ends.
func serve(address string, h http.Handler) {
	if err := http.ListenAndServe(address, h); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
