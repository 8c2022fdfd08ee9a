// Package api is the part of the service that answers requests, and enqueues.
package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/service/jobs"
)

// Config is what the API needs.
type Config struct {
	Broker jobs.Broker
	Hooks  []batch.Hook
	Log    *slog.Logger
}

// Handler answers POST /users/{id}/welcome.
func Handler(c Config) *http.ServeMux {
	// A client does not wait for as long as an enqueue may, which is 30 s.
	emails := batch.NewQueue(c.Broker, jobs.Emails, batch.WithEnqueueTimeout(5*time.Second), batch.WithHooks(c.Hooks...))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users/{id}/welcome", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			http.Error(w, "the user's ID is not a number", http.StatusBadRequest)
			return
		}
		// A client that repeats its request does not make a second mail.
		receipt, err := emails.Enqueue(r.Context(), jobs.Welcome{UserID: id},
			batch.Unique(emails, fmt.Sprintf("welcome-%d", id)))
		if err != nil {
			c.Log.ErrorContext(r.Context(), "no mail was enqueued", "user", id, "err", err)
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(map[string]any{"job": receipt.ID, "duplicate": receipt.Duplicate})
	})
	return mux
}

// refuse tells a client that nothing was enqueued, or perhaps nothing, but not why: errors name servers.
func refuse(w http.ResponseWriter, err error) {
	var failed *batch.EnqueueError
	switch {
	case errors.As(err, &failed) && failed.Fate == batch.FateUnknown:
		// It may be stored. The key makes it safe to ask again.
		http.Error(w, "try again", http.StatusServiceUnavailable)
	case errors.Is(err, batch.ErrUnavailable):
		w.Header().Set("Retry-After", "5")
		http.Error(w, "try again later", http.StatusServiceUnavailable)
	default:
		http.Error(w, "the mail could not be enqueued", http.StatusInternalServerError)
	}
}
