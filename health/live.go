package health

import (
	"net/http"
	"time"

	"github.com/batch-go/batch"
)

// Liveness is the answer of [Check.Live].
type Liveness struct {
	Alive bool `json:"alive"`
	// State is the worker's: new before it runs, then running, draining or stopped, or failed.
	State string `json:"state"`
	// Why says what is wrong, and is empty if nothing is.
	Why string `json:"why,omitempty"`
	// StuckHandlers is how many handlers run on although their contexts have ended.
	StuckHandlers int `json:"stuck_handlers"`
}

// Live answers a liveness probe about w, the worker that was made with the configuration given to [Watch]: 200 if it is
// alive, 503 if it is not, with a [Liveness] as JSON. It is about the process alone and answers at once. A w of nil is a
// programming error and panics.
func (c *Check) Live(w *batch.Worker) http.Handler {
	need(w)
	return probe(func(*http.Request) (bool, any) {
		l := c.liveness(w)
		return l.Alive, l
	})
}

// liveness is what is known now.
func (c *Check) liveness(w *batch.Worker) Liveness {
	l := Liveness{State: c.stateOf(w)}
	l.StuckHandlers, l.Why = c.runs.look(time.Now(), c.config.MaxStuck)
	switch l.State {
	case stateFailed:
		l.Why = "the worker cannot go on: its driver was closed, or it could not start"
	case stateStopped:
		l.Why = "the worker has stopped"
	}
	l.Alive = l.Why == ""
	return l
}
