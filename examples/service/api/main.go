// Command api is the half of the service that enqueues: an HTTP server. The other half is the worker beside it.
//
//	BATCH_URL=redis://localhost:6379 go run ./examples/service/api
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/health"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, listener); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends, and then answers the requests that have begun.
func run(ctx context.Context, listener net.Listener) error {
	d, err := jobs.Open(ctx)
	if err != nil {
		return err
	}
	defer d.Close(context.WithoutCancel(ctx))
	server := &http.Server{Handler: handler(d)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return server.Shutdown(closing)
}

// handler answers POST /users/{id}/welcome, and GET /scale for the autoscaler of the workers, which is here because there
// may be no worker.
func handler(d jobs.Broker) http.Handler {
	emails := batch.NewQueue(d, jobs.Emails, batch.WithEnqueueTimeout(5*time.Second))
	mux := http.NewServeMux()
	mux.Handle("GET /scale", health.Scale(d, health.ScaleConfig{Queues: []string{jobs.Emails}}))
	mux.HandleFunc("POST /users/{id}/welcome", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			http.Error(w, "the user's ID is not a number", http.StatusBadRequest)
			return
		}
		// A client that repeats its request does not make a second mail.
		receipt, err := emails.Enqueue(r.Context(), jobs.Welcome{UserID: id},
			batch.Unique(emails, fmt.Sprintf("welcome-%d", id)))
		var failed *batch.EnqueueError
		switch {
		case errors.As(err, &failed) && failed.Fate == batch.FateUnknown:
			// It may be stored. The key makes it safe to ask again.
			http.Error(w, "try again", http.StatusServiceUnavailable)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusAccepted)
			_ = json.NewEncoder(w).Encode(map[string]any{"duplicate": receipt.Duplicate})
		}
	})
	return mux
}
