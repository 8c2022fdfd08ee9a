package dash

import (
	"net/http"
	"time"
)

// queuePage is the page of one queue.
type queuePage struct {
	row
	Problem *problem
	// PauseKnown tells whether the broker has said if the queue is paused.
	PauseKnown bool
	Cost       string
}

// queuePageOf shows what is known of the queue of a request.
func (s *site) queuePageOf(r *request) *queuePage {
	return &queuePage{
		row:        rowOf(r.status, time.Now(), s.config.Interval, 720, 120, samples),
		Problem:    problemOf(r.status.Err),
		PauseKnown: r.status.Paused != nil, Cost: readCost(r.queue),
	}
}

// showQueue answers with the page of a queue, or with the part of it that renews itself.
func (s *site) showQueue(r *request, part string) {
	s.write(r, http.StatusOK, "queue", part, s.frameOf(r, r.queue.Name(), s.queuePageOf(r)))
}
