package dash

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/batch-go/batch"
)

// site is what all pages work with.
type site struct {
	driver batch.Driver
	config Config
	poll   *poll
	guard  guard
	// reads has a place for each read of jobs that may be under way: what a page reads is in memory while it is made.
	reads chan struct{}
	// closing ends when the handler is closed.
	closing context.Context
	// edits are the dead letters that are being edited, by queue and ID.
	edits sync.Map
}

// readers is how many reads of jobs may be under way. Where each takes all dead letters of a queue, it is one.
const readers = 4

// request is one request for a page.
type request struct {
	*http.Request
	w http.ResponseWriter
	// base leads from the page to the root of the handler: "./", "../", "../../".
	base string
	// queue is the one that the page is about, nil for none, and status what is known of it.
	queue  *batch.QueueAdmin
	status status
}

// newRequest reads the path below the root of the handler into its parts.
func newRequest(w http.ResponseWriter, r *http.Request) (request, []string) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	up := strings.Count(path, "/")
	base := "./"
	if up > 0 {
		base = strings.Repeat("../", up)
	}
	if path == "" {
		return request{Request: r, w: w, base: base}, nil
	}
	return request{Request: r, w: w, base: base}, strings.Split(path, "/")
}

// open finds the queue of a request.
func (s *site) open(r *request, name string) error {
	q, err := batch.Admin(s.driver, name)
	if err != nil {
		return err
	}
	known, shown := s.poll.queue(r.Context(), name)
	if !shown {
		return refuse(http.StatusNotFound, "No such queue", "There is no queue %s here. It may have been deleted, or was declared a moment ago.", name)
	}
	r.queue, r.status = q, known
	return nil
}

// acts tells whether somebody may do anything.
func (s *site) acts() bool { return s.config.Authorizer != nil }

// authorize asks whether the request may do what it wants.
func (s *site) authorize(r *http.Request, what Intent) error {
	if s.config.Authorizer == nil {
		return refuse(http.StatusForbidden, "Only for looking", "This dashboard was made without an Authorizer, so nothing can be changed by it.")
	}
	if err := s.config.Authorizer(r, what); err != nil {
		s.config.Logger.WarnContext(r.Context(), "dash: action refused", "action", string(what.Action), "queue", what.Queue, "remote", r.RemoteAddr, "err", err)
		return refuse(http.StatusForbidden, "You may not do that", "%v", err)
	}
	return nil
}

// mayRead is nil if the request may see the body of a job of the queue, and else says why not.
func (s *site) mayRead(r *request, id string) error {
	if !s.config.ShowBodies {
		return refuse(http.StatusForbidden, "Bodies are hidden", "Bodies and headers are not shown, since the program does not set ShowBodies.")
	}
	if s.config.Authorizer == nil {
		return nil
	}
	if err := s.config.Authorizer(r.Request, Intent{Action: ActionReadBody, Queue: r.queue.Name(), IDs: []string{id}, Count: 1}); err != nil {
		return refuse(http.StatusForbidden, "Bodies are hidden", "%v", err)
	}
	return nil
}

// within bounds what a page waits for.
func (s *site) within(r *request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), s.config.Timeout)
}
