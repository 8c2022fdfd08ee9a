package dash

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/batch-go/batch"
)

// Nothing is done by a request that is not in order, and it is told why.
func TestRefusals(t *testing.T) {
	some := url.Values{"which": {"some"}, "id": {"a"}}
	for _, test := range []struct {
		name, path string
		form       url.Values
		code       int
		want       string
	}{
		{"another name typed", "purge-dead", url.Values{"name": {"email"}}, http.StatusUnprocessableEntity, "You typed &#34;email&#34;"},
		{"no name typed", "purge", nil, http.StatusUnprocessableEntity, "type its name: emails"},
		{"nothing said", "redrive", nil, http.StatusBadRequest, "does not say which"},
		{"none chosen", "redrive", url.Values{"which": {"some"}}, http.StatusBadRequest, "Choose dead letters"},
		{"a filter that selects all", "redrive", url.Values{"which": {"matching"}}, http.StatusBadRequest, "does not say which"},
		{"all and some", "redrive", url.Values{"which": {"all"}, "id": {"a"}}, http.StatusBadRequest, "does not say which"},
		{"all without a name typed", "delete", url.Values{"which": {"all"}}, http.StatusBadRequest, "does not say which"},
		{"no job", "delete-job", nil, http.StatusBadRequest, "has to name one job"},
		{"a job that has gone", "delete-job", url.Values{"id": {"x"}, "state": {"waiting"}}, http.StatusNotFound, "was not deleted"},
		{"a long ID", "redrive", url.Values{"which": {"some"}, "id": {strings.Repeat("a", 2000)}}, http.StatusBadRequest, "is longer than"},
		{"a large form", "redrive", url.Values{"which": {strings.Repeat("a", 3<<20)}}, http.StatusRequestEntityTooLarge, "Nothing was done"},
		{"no such action", "explode", some, http.StatusNotFound, "nothing here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newBroker(t)
			q := three(t, d)
			a := openApp(t, d, acting())
			a.want(a.post("queues/emails/"+test.path, test.form), test.code, test.want)
			if dead := ids(t, q, batch.StateDead); dead != "abc" {
				t.Errorf("dead are %q", dead)
			}
		})
	}
	t.Run("too many IDs", func(t *testing.T) {
		d := newBroker(t)
		three(t, d)
		form := url.Values{"which": {"some"}}
		for range 1001 {
			form.Add("id", "a"+strings.Repeat("x", len(form["id"])%100)+string(rune('a'+len(form["id"])/100)))
		}
		a := openApp(t, d, acting())
		a.want(a.post("queues/emails/redrive", form), http.StatusBadRequest, "At most 1000")
	})
}

// Without an Authorizer nothing can be done, and no page offers it.
func TestClosedByDefault(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, Config{})
	for verb := range verbs {
		fields := url.Values{"name": {"emails"}, "which": {"some"}, "id": {"a"}, "body": {"{}"}}
		a.want(a.post("queues/emails/"+verb, fields), http.StatusForbidden, "without an Authorizer")
		a.want(a.get("queues/emails/confirm?"+url.Values{"do": {verb}, "which": {"some"}, "id": {"a"}}.Encode()), http.StatusForbidden, "without an Authorizer")
	}
	for _, path := range []string{"", "queues/emails", "queues/emails/dead", "queues/emails/dead/job?id=a", "queues/emails/waiting"} {
		a.want(a.get(path), http.StatusOK, "view only", `!method="post"`, "!confirm?", "!17}", "!checkbox")
	}
	a.want(a.get("queues/emails/dead/job?id=a"), http.StatusOK, "Bodies are hidden")
	a.want(a.get("queues/emails/edit?id=a"), http.StatusForbidden)
	if dead := ids(t, q, batch.StateDead); dead != "abc" {
		t.Errorf("dead are %q", dead)
	}
}

// What other sites make a browser send is refused, by whatever it says of itself.
func TestCrossOrigin(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	c := acting()
	c.TrustedOrigins = []string{"https://ops.example.com"}
	a := openApp(t, d, c)
	for _, test := range []struct {
		header, value string
		ok            bool
	}{
		{"Sec-Fetch-Site", "cross-site", false},
		{"Sec-Fetch-Site", "same-site", false},
		{"Sec-Fetch-Site", "same-origin", true},
		{"Origin", "https://evil.example.com", false},
		{"Origin", "null", false},
		{"Origin", "http://example.com", true}, // the host of httptest
		{"Origin", "https://ops.example.com", true},
		{"Referer", "https://evil.example.com/batch/", false},
		{"Referer", "http://example.com/batch/queues/emails", true},
		{"Referer", "https://ops.example.com/batch/", true},
		{"", "", false},
	} {
		r := form("queues/emails/pause", nil)
		r.Header.Del("Sec-Fetch-Site")
		if test.header != "" {
			r.Header.Set(test.header, test.value)
		}
		if err := q.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		code := http.StatusForbidden
		if test.ok {
			code = http.StatusOK
		}
		a.want(a.do(r), code)
		if paused, err := q.Paused(t.Context()); err != nil || paused != test.ok {
			t.Errorf("%s: %s: paused is %v, %v", test.header, test.value, paused, err)
		}
	}
	a.logged("level=WARN", "another site", "/queues/emails/pause")
}

// Pages are for GET and HEAD, actions for POST.
func TestMethods(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, acting())
	for _, test := range []struct{ method, path, allow string }{
		{http.MethodPost, "", "GET, HEAD"}, {http.MethodPut, "queues/emails", "GET, HEAD"}, {http.MethodDelete, "queues/emails/dead", "GET, HEAD"},
		{http.MethodPost, "dash.css", "GET, HEAD"}, {http.MethodGet, "queues/emails/purge-dead?name=emails", "POST"},
		{http.MethodHead, "queues/emails/redrive?which=all", "POST"}, {http.MethodPut, "queues/emails/pause", "POST"}, {http.MethodPut, "queues/emails/edit", "GET, HEAD"},
	} {
		r := httptest.NewRequest(test.method, "/batch/"+test.path, nil)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		p := a.do(r)
		a.want(p, http.StatusMethodNotAllowed)
		if got := p.head.Get("Allow"); got != test.allow {
			t.Errorf("%s %s allows %q, want %q", test.method, test.path, got, test.allow)
		}
	}
	r := httptest.NewRequest(http.MethodHead, "/batch/queues/emails/dead", nil)
	if p := a.do(r); p.code != http.StatusOK || p.text != "" || p.head.Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %d bytes, length %q", p.code, len(p.text), p.head.Get("Content-Length"))
	}
	if dead := ids(t, q, batch.StateDead); dead != "abc" {
		t.Errorf("dead are %q", dead)
	}
}

// An action cannot be hidden in the URL of a form that says another thing, nor in a GET.
func TestPathsThatLeadNowhere(t *testing.T) {
	d := newBroker(t)
	three(t, d)
	a := openApp(t, d, acting())
	for path, code := range map[string]int{
		"queues": 404, "queues/": 400, "queues/no%20name": 400, "queues/none": 404, "queues/emails/none": 404, "queues/emails/dead/none": 404,
		"queues/emails/dead/job/x": 404, "queues%2Femails": 404, "queues/emails%2Fdead": 400, "dash.js.map": 404, "queues/emails/confirm": 400,
		"queues/emails/confirm?do=explode": 400, "queues/emails/dead/job": 400, "queues/emails/dead/job?id=x": 404, "queues/emails/find?id=x": 404,
		"queues/emails/dead?cursor=nonsense": 400, "queues/emails/dead?a=%zz": 400, "queues/emails/dead?cursor=" + strings.Repeat("x", 2000): 400,
	} {
		a.want(a.get(path), code, "<h1")
	}
}
