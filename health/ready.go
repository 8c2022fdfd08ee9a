package health

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/batch-go/batch"
)

// Readiness is the answer of [Check.Ready].
type Readiness struct {
	Ready bool `json:"ready"`
	// State is as in [Liveness].
	State string `json:"state"`
	// Why says what is wrong, and is empty if nothing is.
	Why string `json:"why,omitempty"`
	// BrokerAnsweredSecondsAgo is how long ago the broker last answered, nil if it never did.
	BrokerAnsweredSecondsAgo *float64 `json:"broker_answered_seconds_ago"`
	// BrokerError is the error of the last call that the broker did not answer, if it has answered none since.
	BrokerError string `json:"broker_error,omitempty"`
}

// Ready answers a readiness probe about w, the worker that was made with the configuration given to [Watch]: 200 if it
// runs and the broker has answered within Patience, and 503 otherwise, with a [Readiness] as JSON. It answers within
// ProbeTimeout. A w of nil is a programming error and panics.
func (c *Check) Ready(w *batch.Worker) http.Handler {
	need(w)
	return probe(func(r *http.Request) (bool, any) {
		answer := c.readiness(r.Context(), w)
		return answer.Ready, answer
	})
}

// readiness is what is known now, or in a moment.
func (c *Check) readiness(ctx context.Context, w *batch.Worker) Readiness {
	r := Readiness{State: c.stateOf(w)}
	if r.State == batch.WorkerRunning.String() {
		c.hear(ctx)
	}
	answered, silence := c.pulse.last()
	silent := time.Since(answered)
	if !answered.IsZero() {
		ago := silent.Seconds()
		r.BrokerAnsweredSecondsAgo = &ago
	}
	if silence != nil {
		r.BrokerError = silence.Error()
	}
	switch {
	case r.State != batch.WorkerRunning.String():
		r.Why = notRunning[r.State]
	case answered.IsZero():
		r.Why = "the broker has not answered"
	case silent > c.config.Patience:
		r.Why = fmt.Sprintf("the broker has not answered for %s", silent.Round(time.Millisecond))
	}
	r.Ready = r.Why == ""
	return r
}

// notRunning says why a worker in a state is not ready.
var notRunning = map[string]string{
	stateNew:                      "the worker has not started",
	batch.WorkerDraining.String(): "the worker drains: it takes no more jobs",
	stateStopped:                  "the worker has stopped",
	stateFailed:                   "the worker has failed",
}

// hear asks the broker if nothing was heard from it for half of Patience, so that the next probe knows. Only if that is no
// longer enough for this one, it waits for the answer.
func (c *Check) hear(ctx context.Context) {
	if !c.pulse.isQuiet(c.config.Patience / 2) {
		return
	}
	done := c.pulse.feel(c.config.Patience, func(ctx context.Context) {
		_, _ = c.queue.Depth(ctx) // OnCall is told of the error
	})
	if !c.pulse.isQuiet(c.config.Patience) {
		return
	}
	rest := time.NewTimer(c.config.ProbeTimeout)
	defer rest.Stop()
	select {
	case <-done:
	case <-rest.C:
	case <-ctx.Done():
	}
}
