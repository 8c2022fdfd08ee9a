package dash

import (
	"context"
	"errors"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// hidden finds the hidden fields of a form.
var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

// area finds the text of a form.
var area = regexp.MustCompile(`(?s)<textarea[^>]*>\n(.*)</textarea>`)

// formOf are the fields of the form of a page, as a browser sends them.
func formOf(p page) url.Values {
	fields := make(url.Values)
	for _, found := range hidden.FindAllStringSubmatch(p.text, -1) {
		fields.Set(found[1], html.UnescapeString(found[2]))
	}
	if found := area.FindStringSubmatch(p.text); found != nil {
		fields.Set("body", strings.ReplaceAll(html.UnescapeString(found[1]), "\n", "\r\n"))
	}
	return fields
}

// An edited dead letter is the same job with another body.
func TestEdit(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, acting())
	fields := formOf(a.get("queues/emails/edit?id=a&cursor="))
	if got := fields.Get("body"); got != `{"user":17}` {
		t.Fatalf("the form has %q", got)
	}
	fields.Set("body", "{\"user\":\r\n 18}")
	a.want(a.post("queues/emails/edit", fields), http.StatusOK, "Job a of queue emails was redriven")
	a.logged("action=edit", "id=a", "done=1")
	e, err := q.FindJob(t.Context(), "a")
	if err != nil || e.State != batch.StateScheduled || string(e.Body) != "{\"user\":\n 18}" || e.Kind != "email.welcome" || e.Failures != 0 {
		t.Errorf("the job is %+v, %v", e, err)
	}
	if dead := ids(t, q, batch.StateDead); dead != "bc" {
		t.Errorf("dead are %q", dead)
	}
	a.want(a.post("queues/emails/edit", fields), http.StatusNotFound, "not there any more")
}

// What nobody changed comes back as it was.
func TestEditChangesNothingElse(t *testing.T) {
	for _, text := range []string{`{"a":1}`, "\n\n{\n\t\"a\": \"<&>\u00a0ü\"\n}\n\n", "[]\n"} {
		d := newBroker(t)
		q := fill(t, d, "emails", letter("a", "k", "permanent", "", text))
		a := openApp(t, d, acting())
		a.want(a.post("queues/emails/edit", formOf(a.get("queues/emails/edit?id=a"))), http.StatusOK)
		if e, err := q.FindJob(t.Context(), "a"); err != nil || string(e.Body) != text {
			t.Errorf("%q has become %q, %v", text, e.Body, err)
		}
	}
}

// A body that cannot be right is not stored, and what was typed is not lost.
func TestEditRefuses(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, acting())
	fields := formOf(a.get("queues/emails/edit?id=a"))
	fields.Set("body", `{"user": eighteen}`)
	a.want(a.post("queues/emails/edit", fields), http.StatusUnprocessableEntity, "The body is not JSON", "eighteen}</textarea>")
	fields.Set("body", `"`+strings.Repeat("x", maxEdit)+`"`)
	a.want(a.post("queues/emails/edit", fields), http.StatusUnprocessableEntity, "larger than 256.0 KiB")
	fields.Set("body", `{"user":18}`)
	fields.Set("digest", "of another one")
	a.want(a.post("queues/emails/edit", fields), http.StatusConflict, "has changed", "Nothing was done", "Job a of queue emails was not redriven")
	if dead := ids(t, q, batch.StateDead); dead != "abc" {
		t.Errorf("dead are %q", dead)
	}
}

// A dead letter that died again under its ID since the form was opened is not the one that was edited.
func TestEditOfStaleJob(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, acting())
	fields := formOf(a.get("queues/emails/edit?id=a"))
	if _, err := q.DeadLetters().Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	fill(t, d, "emails", letter("a", "email.welcome", "max-attempts", "another", `{"user":99}`))
	a.want(a.post("queues/emails/edit", fields), http.StatusConflict, "has changed")
	if dead := ids(t, q, batch.StateDead); dead != "bca" {
		t.Errorf("dead are %q", dead)
	}
}

// What is no text that a form can bring back is not edited.
func TestUneditableBodies(t *testing.T) {
	for name, text := range map[string]string{"it is not text": "\xff\xfe", "no form shows": "a\x00b", "line ends": "a\r\nb", "larger than": strings.Repeat("x", maxEdit+1)} {
		d := newBroker(t)
		fill(t, d, "emails", letter("a", "k", "permanent", "", text))
		a := openApp(t, d, acting())
		a.want(a.get("queues/emails/edit?id=a"), http.StatusUnprocessableEntity, name)
		a.want(a.get("queues/emails/dead/job?id=a"), http.StatusOK, "cannot be edited here", name, "!Edit and redrive…")
	}
}

// fragile is a broker on which an edit fails after the job was stored.
type fragile struct{ *memory.Driver }

func (fragile) Discard(context.Context, string, driver.Selection) (int, error) {
	return 0, &driver.Error{Driver: "memory", Op: "discard", Kind: driver.ErrUnavailable, Fate: driver.FateNotStored, Err: errors.New("reset")}
}

// If the dead letter stays, the page says that the job is there twice. Nothing is lost.
func TestEditThatFailsInBetween(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, fragile{d}, acting())
	a.want(a.post("queues/emails/edit", formOf(a.get("queues/emails/edit?id=a"))), http.StatusServiceUnavailable, "is stored with its new body, and its dead letter was not discarded", "Job a of queue emails may be redriven or not")
	if dead, scheduled := ids(t, q, batch.StateDead), ids(t, q, batch.StateScheduled); dead != "abc" || scheduled != "a" {
		t.Errorf("dead are %q, scheduled %q", dead, scheduled)
	}
}

// Bodies are hidden unless the program shows them, and the Authorizer may still hide some.
func TestBodiesAreHidden(t *testing.T) {
	d := newBroker(t)
	e := letter("a", "k", "permanent", "x", `{"secret":1}`)
	e.Headers = map[string]string{"token": "sesame"}
	fill(t, d, "emails", e)
	never := func(_ *http.Request, what Intent) error {
		if what.Action == ActionReadBody && slices.Equal(what.IDs, []string{"a"}) {
			return errors.New("not for you")
		}
		return nil
	}
	for _, test := range []struct {
		config Config
		shown  bool
		why    string
	}{
		{Config{}, false, "does not set ShowBodies"},
		{Config{Authorizer: AllowAll}, false, "does not set ShowBodies"},
		{Config{ShowBodies: true}, true, ""},
		{Config{ShowBodies: true, Authorizer: never}, false, "not for you"},
		{Config{ShowBodies: true, Authorizer: AllowAll}, true, ""},
	} {
		a := openApp(t, d, test.config)
		for _, path := range []string{"queues/emails/dead/job?id=a", "queues/emails/find?id=a"} {
			if p := a.get(path); test.shown {
				a.want(p, http.StatusOK, "&#34;secret&#34;", "sesame")
			} else {
				a.want(p, http.StatusOK, test.why, "!secret", "!sesame")
			}
		}
		if edit := a.get("queues/emails/edit?id=a"); !test.shown {
			a.want(edit, http.StatusForbidden, "!secret")
		}
	}
}

// A job that has expired does not run again, and no page says that it does.
func TestExpiredJobs(t *testing.T) {
	d := newBroker(t)
	late, early, other := letter("a", "k", "expired", "", "{}"), letter("b", "k", "expired", "", "{}"), letter("c", "k", "permanent", "", "{}")
	late.ExpiresAt, early.ExpiresAt = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	fill(t, d, "emails", late, early, other)
	a := openApp(t, d, acting())
	for id, dies := range map[string]string{"a": "", "b": "!", "c": "!"} {
		a.want(a.get("queues/emails/dead/job?id="+id), http.StatusOK, dies+"it dies again instead of running")
		a.want(a.get("queues/emails/edit?id="+id), http.StatusOK, dies+"it dies again instead of running")
	}
	a.want(a.get("queues/emails/confirm?do=redrive&which=all"), http.StatusOK, "One that has expired dies again instead")
}
