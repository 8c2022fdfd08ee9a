package dash

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// The right to delete jobs is not that to delete dead letters, and a job that died since its page was made stays.
func TestDeleteJobLeavesDeadLetters(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	c := acting()
	c.Authorizer = func(_ *http.Request, what Intent) error {
		if what.Action == ActionDelete {
			return errors.New("only admins delete dead letters")
		}
		return nil
	}
	a := openApp(t, d, c)
	a.want(a.post("queues/emails/delete-job", url.Values{"id": {"a"}, "state": {"waiting"}}), http.StatusConflict, "Job a is a dead letter by now", "was not deleted")
	if dead := ids(t, q, batch.StateDead); dead != "abc" {
		t.Errorf("dead are %q", dead)
	}
}

// A short body that is nested deeply does not become a long one by its indentation.
func TestDeepBodyIsNotIndented(t *testing.T) {
	for name, text := range map[string]string{
		"deep":         strings.Repeat("[", 9999) + strings.Repeat("]", 9999),
		"deep objects": strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000),
		"wide":         strings.Repeat("[", maxNesting) + strings.Repeat("1,", 30_000) + "1" + strings.Repeat("]", maxNesting),
	} {
		d := newBroker(t)
		fill(t, d, "emails", letter("a", "k", "permanent", "x", text))
		a := openApp(t, d, acting())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p := a.get("queues/emails/dead/job?id=a")
		runtime.ReadMemStats(&after)
		a.want(p, http.StatusOK, "!indented for reading")
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
			t.Errorf("%s: a page of a body of %s took %s", name, size(len(text)), size(int(n)))
		}
	}
	if n := nesting([]byte(`{"a":"[[[\"[[","b":[{}]}`)); n != 3 {
		t.Errorf("brackets in texts are counted: %d", n)
	}
}

// blind is a broker that cannot look for a job at the moment.
type blind struct{ *memory.Driver }

func (blind) Find(context.Context, string, string) (driver.Entry, error) {
	return driver.Entry{}, &driver.Error{Driver: "memory", Op: "find", Kind: driver.ErrUnavailable, Err: errors.New("reset")}
}

// A job that could not be looked for is not one that has gone, and one that has gone may be found elsewhere.
func TestJobThatIsNotFound(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, blind{d}, acting())
	a.want(a.get("queues/emails/dead/job?id=z"), http.StatusServiceUnavailable, "reset", "!not there any more")
	if _, err := q.DeadLetters().Redrive(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	a = openApp(t, d, acting())
	a.want(a.get("queues/emails/dead/job?id=a"), http.StatusNotFound, "it is waiting now")
}

// clogged is a client that does not read what it asked for.
type clogged struct {
	*httptest.ResponseRecorder
	begun, end chan struct{}
}

func (c clogged) Write(p []byte) (int, error) {
	close(c.begun)
	<-c.end
	return c.ResponseRecorder.Write(p)
}

// Clients that do not read their pages keep no others from theirs.
func TestSlowClientsHoldNoPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		three(t, d)
		a := openApp(t, d, acting())
		for _, path := range []string{"find?id=a", "dead", "dead/job?id=a", "edit?id=a"} {
			end := make(chan struct{})
			for range readers {
				c := clogged{httptest.NewRecorder(), make(chan struct{}), end}
				go a.mux.ServeHTTP(c, httptest.NewRequest(http.MethodGet, "/batch/queues/emails/"+path, nil))
				<-c.begun
			}
			a.want(a.get("queues/emails/dead"), http.StatusOK)
			close(end)
		}
	})
}

// Without Sec-Fetch-Site, which browsers do not send to plain http, only a page of this host reads what is costly.
func TestCostlyReadsOfOtherSites(t *testing.T) {
	d := newCounter()
	defer d.Close(t.Context())
	three(t, d)
	c := acting()
	c.Queues = []string{"emails"}
	a := openApp(t, portable{d}, c)
	for _, test := range []struct {
		referer string
		read    bool
	}{{"", false}, {"http://evil.example.com/", false}, {"http://example.com/batch/queues/emails/dead", true}} {
		for _, path := range []string{"dead?read=1", "dead/job?id=a"} {
			r := httptest.NewRequest(http.MethodGet, "/batch/queues/emails/"+path, nil)
			r.Header.Set("Referer", test.referer)
			before := d.count("dead")
			if p := a.do(r); !test.read {
				a.want(p, p.code, "A link of another site led here, or the browser does not say what did")
			}
			if read := d.count("dead") > before; read != test.read {
				t.Errorf("%s from %q: read %v", path, test.referer, read)
			}
		}
	}
}

// What was typed comes back as it was, with characters that are not seen, and is not stored if it is no text.
func TestEditFormKeepsWhatWasTyped(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, acting())
	fields := formOf(a.get("queues/emails/edit?id=a"))
	fields.Set("body", "{\"family\": \"a\u200db\",")
	a.want(a.post("queues/emails/edit", fields), http.StatusUnprocessableEntity, "The body is not JSON", "a\u200db")
	fields.Set("body", "{\"family\": \"\xff\"}")
	a.want(a.post("queues/emails/edit", fields), http.StatusUnprocessableEntity, "not text in UTF-8")
	if dead := ids(t, q, batch.StateDead); dead != "abc" {
		t.Errorf("dead are %q", dead)
	}
	a.want(a.get("queues/emails/confirm?do=edit&id=a"), http.StatusBadRequest, "Which action?")
}

// What is not the path of a prefix leads to the first page, and not in a circle: an adapter may leave it out.
func TestPathsWithoutPrefix(t *testing.T) {
	h := openApp(t, newBroker(t), Config{}).h
	for _, asked := range []string{"", "/", "/batch/", "http://example.com", "/batch/?q=x"} {
		r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
		r.URL.Path, r.RequestURI = "", asked
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%q: %d to %q", asked, w.Code, w.Header().Get("Location"))
		}
	}
}

// A refused request does not write more than a line of the log.
func TestRefusedPathIsShort(t *testing.T) {
	a := openApp(t, newBroker(t), acting())
	r := form(strings.Repeat("x", 1<<19), nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	a.want(a.do(r), http.StatusForbidden)
	if n := len(a.log.String()); n > 1<<10 {
		t.Errorf("%d bytes of log", n)
	}
}

// An Authorizer that panics allows nothing, and holds nothing up.
func TestAuthorizerThatPanics(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	c := acting()
	c.Authorizer = func(*http.Request, Intent) error { panic("no session") }
	a := openApp(t, d, c)
	for range 2 * readers {
		for _, r := range []*http.Request{
			form("queues/emails/redrive", url.Values{"which": {"all"}}), form("queues/emails/edit", url.Values{"id": {"a"}}),
			httptest.NewRequest(http.MethodGet, "/batch/queues/emails/find?id=a", nil), httptest.NewRequest(http.MethodGet, "/batch/queues/emails/dead/job?id=a", nil),
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", r.URL)
					}
				}()
				a.do(r)
			}()
		}
	}
	a.want(a.get("queues/emails/dead"), http.StatusOK)
	if dead := ids(t, q, batch.StateDead); dead != "abc" {
		t.Errorf("dead are %q", dead)
	}
}
