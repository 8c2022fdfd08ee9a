package dash

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// record is what a handler has logged.
type record struct {
	mu   sync.Mutex // guards following
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// app is a handler under test, mounted at /batch/.
type app struct {
	t   *testing.T
	h   *Handler
	mux http.Handler
	log *record
}

// openApp makes a handler that is closed when the test ends.
func openApp(t *testing.T, d batch.Driver, c Config) *app {
	t.Helper()
	a := &app{t: t, log: &record{}}
	c.Logger = slog.New(slog.NewTextHandler(a.log, nil))
	h, err := New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	a.h = h
	mux := http.NewServeMux()
	mux.Handle("/batch/", http.StripPrefix("/batch", h))
	a.mux = mux
	return a
}

// page is an answer.
type page struct {
	code int
	head http.Header
	text string
}

// do sends a request as a browser on a page of the handler does.
func (a *app) do(r *http.Request) page {
	a.t.Helper()
	w := httptest.NewRecorder()
	a.mux.ServeHTTP(w, r)
	return page{w.Code, w.Header(), w.Body.String()}
}

// get asks for a page below the prefix.
func (a *app) get(path string) page {
	a.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/batch/"+path, nil)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return a.do(r)
}

// form is a request that sends a form.
func form(path string, fields url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/batch/"+path, strings.NewReader(fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// post sends a form.
func (a *app) post(path string, fields url.Values) page {
	a.t.Helper()
	return a.do(form(path, fields))
}

// want checks the status of an answer, and that each text is on the page; one that begins with "!" is not.
func (a *app) want(p page, code int, texts ...string) {
	a.t.Helper()
	if p.code != code {
		a.t.Errorf("status %d, want %d:\n%s", p.code, code, p.text)
	}
	for _, text := range texts {
		if not, absent := strings.CutPrefix(text, "!"); absent {
			if strings.Contains(p.text, not) {
				a.t.Errorf("the page has %q:\n%s", not, p.text)
			}
		} else if !strings.Contains(p.text, text) {
			a.t.Errorf("the page has no %q:\n%s", text, p.text)
		}
	}
}

// logged checks that a line of the log has all of these.
func (a *app) logged(parts ...string) {
	a.t.Helper()
lines:
	for line := range strings.Lines(a.log.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		return
	}
	a.t.Errorf("no line has all of %q:\n%s", parts, a.log)
}

// letter is a dead letter to import.
func letter(id, kind, reason, cause, body string) batch.Entry {
	e := batch.Entry{State: batch.StateDead, Reason: reason, LastError: cause, Failures: 3, Deliveries: 3, DeadAt: time.Now().Add(-time.Minute)}
	e.ID, e.Kind, e.Body, e.ContentType, e.EnqueuedAt = id, kind, []byte(body), "application/json", time.Now().Add(-time.Hour)
	return e
}

// fill declares a queue with these jobs.
func fill(t *testing.T, d batch.Driver, queue string, entries ...batch.Entry) *batch.QueueAdmin {
	t.Helper()
	q, err := batch.Admin(d, queue)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Declare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for len(entries) > 0 {
		n := min(len(entries), 1000)
		if _, err := q.Import(t.Context(), entries[:n]); err != nil {
			t.Fatal(err)
		}
		entries = entries[n:]
	}
	return q
}

// three are a queue with three dead letters, two of which died for the same.
func three(t *testing.T, d batch.Driver) *batch.QueueAdmin {
	t.Helper()
	return fill(t, d, "emails",
		letter("a", "email.welcome", "max-attempts", "mailbox 17 is full", `{"user":17}`),
		letter("b", "email.welcome", "max-attempts", "mailbox 4242 is full", `{"user":4242}`),
		letter("c", "email.bill", "permanent", "no such template", `{"bill":1}`))
}

// ids are those of the jobs of a queue in a state.
func ids(t *testing.T, q *batch.QueueAdmin, state batch.State) string {
	t.Helper()
	jobs, _, err := q.ListJobs(context.Background(), state, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range jobs {
		text += e.ID
	}
	return text
}

// acting is a Config that allows all.
func acting() Config { return Config{Authorizer: AllowAll, ShowBodies: true} }

// waitingJobs are so many jobs to import.
func waitingJobs(n int) []batch.Entry {
	all := make([]batch.Entry, n)
	for i := range all {
		all[i].State = batch.StateWaiting
		all[i].ID, all[i].Kind, all[i].ContentType, all[i].EnqueuedAt = fmt.Sprintf("w%d", i), "email.welcome", "application/json", time.Now()
	}
	return all
}

// newBroker is a memory driver that is closed when the test ends.
func newBroker(t *testing.T) *memory.Driver {
	t.Helper()
	d := memory.New()
	t.Cleanup(func() { _ = d.Close(context.Background()) })
	return d
}
