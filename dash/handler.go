package dash

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/batch-go/batch"
)

// Handler serves the dashboard. Make it with [New], mount it under any prefix with [http.StripPrefix], and Close it when
// it is not used any more. It is safe for concurrent use.
type Handler struct {
	site  *site
	close context.CancelFunc
}

// maxForm bounds a form: a body that is edited, in the encoding of a form, with much of it escaped.
const maxForm = 4*maxEdit + 1<<20

// New makes the handler, and begins to ask the broker for the depths of the queues. It does not wait for an answer: the
// pages say what is not known yet. The error wraps [batch.ErrInvalid], and is about the driver or the Config; on a broker
// that cannot list its queues it is one that none are named.
//
// The driver stays the caller's, who closes the handler before it.
func New(d batch.Driver, c Config) (*Handler, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	if _, err := batch.Admin(d, "any"); err != nil {
		return nil, err
	}
	g, err := newGuard(c.TrustedOrigins)
	if err != nil {
		return nil, &batch.InvalidError{Field: "TrustedOrigins", Bound: "origins as in https://host:port", Err: err}
	}
	places := readers
	if q, err := batch.Admin(d, "any"); err == nil && readCost(q) != "" {
		places = 1
	}
	p, err := newPoll(d, c.Queues, c.Interval)
	if err != nil {
		return nil, err
	}
	closing, cancel := context.WithCancel(context.Background())
	return &Handler{&site{driver: d, config: c, poll: p, guard: g, reads: make(chan struct{}, places), closing: closing}, cancel}, nil
}

// Close ends the asking, and cuts off the actions that are under way; later ones are refused. What the pages show
// afterwards grows old. The error says that a call to the broker goes on although it was cancelled, which a driver does
// not do. A second Close is a no-op.
func (h *Handler) Close() error {
	h.close()
	return h.site.poll.close()
}

// ServeHTTP answers with a page, or does what a form asks for.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	req, parts := newRequest(w, r)
	if asked, _, _ := strings.Cut(r.RequestURI, "?"); r.URL.Path == "" && strings.HasPrefix(asked, "/") && !strings.HasSuffix(asked, "/") {
		// The prefix without its slash: the links of a page would lead beside it. What comes before it nobody knows here.
		redirect(&req, "./"+path.Base(asked)+"/")
		return
	}
	if err := h.site.guard.check(r); err != nil {
		h.site.config.Logger.WarnContext(r.Context(), "dash: request of another site refused", "path", line(r.URL.Path, 128), "remote", r.RemoteAddr, "err", err)
		h.site.fail(&req, err)
		return
	}
	if err := readForm(w, r); err != nil {
		h.site.fail(&req, err)
		return
	}
	h.route(&req, parts)
}

// maxParameter bounds what a parameter of a URL or a form may be, but a body: more than any cursor, ID or gist of an
// error is.
const maxParameter = 1 << 10

// redirect leads to a path that is relative to the one that was asked for, which [http.Redirect] would make absolute, and
// wrong under a prefix.
func redirect(r *request, to string) {
	r.w.Header().Set("Location", to)
	r.w.WriteHeader(http.StatusPermanentRedirect)
}

// readForm reads the parameters of a request, and refuses what no page of this handler has in its links and forms.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	err := r.ParseForm()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, "Too large", "The form is larger than %s. Nothing was done.", size(maxForm))
	case err != nil:
		return refuse(http.StatusBadRequest, "Not valid", "The form or the link cannot be read: %v. Nothing was done.", err)
	}
	for name, values := range r.Form {
		for _, value := range values {
			if text := name != "body"; text && (len(value) > maxParameter || printable(value) != value) {
				return refuse(http.StatusBadRequest, "Not valid", "The parameter %s is longer than %d bytes, or no text. Nothing was done.", line(name, 64), maxParameter)
			}
		}
	}
	return nil
}

// route calls what answers a path.
func (h *Handler) route(r *request, parts []string) {
	s := h.site
	switch {
	case len(parts) == 0:
		s.get(r, func() { s.showQueues(r, wholePage) })
	case len(parts) == 1 && parts[0] == "live":
		s.get(r, func() { s.showQueues(r, "live") })
	case len(parts) == 1 && assets[parts[0]].content != nil:
		s.get(r, func() { serveAsset(r, assets[parts[0]]) })
	case len(parts) == 3 && parts[0] == "queues" && parts[2] == "":
		redirect(r, "../"+parts[1])
	case len(parts) >= 2 && parts[0] == "queues" && len(parts) <= 4:
		if err := s.open(r, parts[1]); err != nil {
			s.fail(r, err)
			return
		}
		h.routeQueue(r, strings.Join(parts[2:], "/"))
	default:
		s.fail(r, errNoPage)
	}
}

// errNoPage is the problem of a path that leads nowhere.
var errNoPage = refuse(http.StatusNotFound, "No such page", "There is nothing here.")

// routeQueue calls what answers a path of a queue.
func (h *Handler) routeQueue(r *request, rest string) {
	s := h.site
	state, job, nested := strings.Cut(rest, "/")
	listed, isState := map[string]batch.State{"waiting": batch.StateWaiting, "scheduled": batch.StateScheduled, "dead": batch.StateDead}[state]
	switch {
	case rest == "":
		s.get(r, func() { s.showQueue(r, wholePage) })
	case rest == "live":
		r.base = "../" // that of the page of which it is a part
		s.get(r, func() { s.showQueue(r, "live") })
	case isState && !nested:
		s.get(r, func() { s.showJobs(r, listed) })
	case isState && job == "job":
		s.get(r, func() { s.showJob(r, listed) })
	case rest == "find":
		s.get(r, func() { s.showFound(r) })
	case rest == "confirm" && r.Method == http.MethodPost:
		s.showConfirm(r)
	case rest == "confirm":
		s.get(r, func() { s.showConfirm(r) })
	case rest == "edit" && r.Method != http.MethodPost:
		s.get(r, func() { s.showEdit(r) })
	case rest == "edit":
		if s.sound(r) {
			s.act(r, rest)
		}
	case verbs[rest] != "":
		s.post(r, func() { s.act(r, rest) })
	default:
		s.fail(r, errNoPage)
	}
}

// get answers a GET or HEAD, and refuses all else.
func (s *site) get(r *request, answer func()) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		r.w.Header().Set("Allow", "GET, HEAD")
		s.fail(r, refuse(http.StatusMethodNotAllowed, "Not allowed", "This page is only for looking."))
		return
	}
	answer()
}

// post answers a POST, and refuses all else.
func (s *site) post(r *request, answer func()) {
	if r.Method != http.MethodPost {
		r.w.Header().Set("Allow", "POST")
		s.fail(r, refuse(http.StatusMethodNotAllowed, "Not allowed", "An action is sent by a form. Nothing was done."))
		return
	}
	answer()
}
