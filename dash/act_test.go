package dash

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// Each action does what it says, says what it did, and is logged.
func TestActions(t *testing.T) {
	for _, test := range []struct {
		name, path string
		form       url.Values
		want       string // on the page
		dead       string // the letters that stay
		waiting    string // the jobs that wait
		log        string
	}{
		{"redrive some", "redrive", url.Values{"which": {"some"}, "id": {"a", "c"}}, "2 dead letters of queue emails redriven", "b", "w0ac", "action=redrive"},
		{"redrive all", "redrive", url.Values{"which": {"all"}}, "3 dead letters of queue emails redriven", "", "w0abc", "which=all"},
		{"redrive those that match", "redrive", url.Values{"which": {"matching"}, "kind": {"email.welcome"}, "error": {"mailbox # is full"}}, "2 dead letters of queue emails redriven", "c", "w0ab", "which=matching"},
		{"redrive one that has gone", "redrive", url.Values{"which": {"some"}, "id": {"a", "x"}}, "1 of 2 dead letters of queue emails redriven: the others were not there any more", "bc", "w0a", "done=1 of=2"},
		{"delete some", "delete", url.Values{"which": {"some"}, "id": {"b"}}, "1 dead letter of queue emails deleted", "ac", "w0", "id=b"},
		{"delete those that match", "delete", url.Values{"which": {"matching"}, "reason": {"permanent"}}, "1 dead letter of queue emails deleted", "ab", "w0", "action=delete"},
		{"purge the dead", "purge-dead", url.Values{"name": {"emails"}}, "3 dead letters of queue emails purged", "", "w0", "action=purge-dead"},
		{"purge", "purge", url.Values{"name": {"emails"}}, "1 waiting job of queue emails purged", "abc", "", "action=purge"},
		{"delete a job", "delete-job", url.Values{"id": {"w0"}, "state": {"waiting"}}, "Job w0 of queue emails was deleted", "abc", "", "action=delete-job"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newBroker(t)
			fill(t, d, "emails", waitingJobs(1)...)
			q := three(t, d)
			a := openApp(t, d, acting())
			a.want(a.post("queues/emails/"+test.path, test.form), http.StatusOK, test.want)
			if dead, waiting := ids(t, q, batch.StateDead), ids(t, q, batch.StateWaiting); dead != test.dead || waiting != test.waiting {
				t.Errorf("dead are %q and waiting %q; want %q and %q", dead, waiting, test.dead, test.waiting)
			}
			a.logged(test.log, "queue=emails", "remote=")
		})
	}
}

func TestPauseAndResume(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, acting())
	for _, step := range []struct {
		verb, want string
		paused     bool
	}{{"pause", "Queue emails is paused", true}, {"resume", "Queue emails is resumed", false}} {
		a.want(a.post("queues/emails/"+step.verb, nil), http.StatusOK, step.want)
		if paused, err := q.Paused(t.Context()); err != nil || paused != step.paused {
			t.Errorf("after %s: %v, %v", step.verb, paused, err)
		}
		if p := a.get("queues/emails"); strings.Contains(p.text, ">paused<") != step.paused || strings.Contains(p.text, "<button>Pause") == step.paused {
			t.Errorf("the page after %s does not know: %s", step.verb, p.text)
		}
	}
}

// A link or a button that asks first does nothing, and leads to a form that does.
func TestConfirm(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, acting())
	a.want(a.get("queues/emails"), http.StatusOK) // the first look is done
	a.want(a.get("queues/emails/confirm?do=redrive&which=all"), http.StatusOK, "Redrive all 3 dead letters", `action="../../queues/emails/redrive"`)
	a.want(a.get("queues/emails/confirm?do=delete&which=matching&kind=email.bill"), http.StatusOK, "of kind email.bill", `name="kind" value="email.bill"`, ">Delete these</button>")
	a.want(a.get("queues/emails/confirm?do=purge-dead"), http.StatusOK, "Type the queue’s name", "all 3 dead letters")
	a.want(a.post("queues/emails/confirm", url.Values{"do": {"delete"}, "which": {"some"}, "id": {"b", "a"}}), http.StatusOK, "2 dead letters", `name="id" value="a"`, `name="id" value="b"`)
	a.want(a.get("queues/emails/confirm?do=delete-job&id=x&state=waiting"), http.StatusOK, "Delete job x")
	if dead := ids(t, q, batch.StateDead); dead != "abc" {
		t.Errorf("dead are %q", dead)
	}
}

// half is a broker that fails when a part is done.
type half struct {
	driver.Driver
	err error
}

func (h *half) Redrive(context.Context, string, driver.Selection) (int, error) { return 1, h.err }

// What was done is told also if the rest failed, with what to do about it.
func TestPartIsDone(t *testing.T) {
	d := newBroker(t)
	three(t, d)
	for _, fate := range []driver.Fate{driver.FateNotStored, driver.FateUnknown} {
		broken := &half{d, &driver.Error{Driver: "half", Op: "redrive", Queue: "emails", Kind: driver.ErrFull, Fate: fate, Err: errors.New("OOM"), Hint: "raise maxmemory"}}
		c := acting()
		c.Queues = []string{"emails"}
		a := openApp(t, broken, c)
		perhaps := "perhaps some that were under way"
		if fate == driver.FateNotStored {
			perhaps = "!" + perhaps
		}
		a.want(a.post("queues/emails/redrive", url.Values{"which": {"some"}, "id": {"a", "b"}}), http.StatusServiceUnavailable,
			"1 of 2 dead letters of queue emails redriven", perhaps, "The broker is full", "<strong>What to do:</strong> raise maxmemory", "OOM")
		a.logged("level=ERROR", "action=redrive", "done=1 of=2", "OOM")
	}
}

// doubtful is a broker that does not say what became of a call.
type doubtful struct{ *memory.Driver }

func (doubtful) Pause(context.Context, string) error {
	return &driver.Error{Driver: "memory", Op: "pause", Kind: driver.ErrUnavailable}
}

// What may have been done is not said to be undone.
func TestDoubt(t *testing.T) {
	d := newBroker(t)
	three(t, d)
	a := openApp(t, doubtful{d}, acting())
	a.want(a.post("queues/emails/pause", nil), http.StatusServiceUnavailable, "Queue emails may be paused or not", "!was not paused")
}

// The Authorizer is told what is to be done, and its answer holds.
func TestAuthorizer(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	var asked []Intent
	c := Config{Authorizer: func(r *http.Request, what Intent) error {
		asked = append(asked, what)
		if r.Header.Get("X-User") != "ann" {
			return errors.New("only ann may do that")
		}
		return nil
	}}
	a := openApp(t, d, c)
	a.want(a.get("queues/emails"), http.StatusOK)
	for _, path := range []string{"redrive", "purge", "pause"} {
		a.want(a.post("queues/emails/"+path, url.Values{"which": {"some"}, "id": {"a", "b"}, "name": {"emails"}}), http.StatusForbidden, "only ann may do that")
	}
	a.logged("level=WARN", "action=redrive", "only ann may do that")
	if dead := ids(t, q, batch.StateDead); dead != "abc" {
		t.Errorf("dead are %q", dead)
	}
	r := form("queues/emails/redrive", url.Values{"which": {"all"}})
	r.Header.Set("X-User", "ann")
	a.want(a.do(r), http.StatusOK, "3 dead letters of queue emails redriven")
	want := []Intent{
		{ActionRedrive, "emails", []string{"a", "b"}, 2}, {ActionPurge, "emails", nil, 0},
		{ActionPause, "emails", nil, 0}, {ActionRedrive, "emails", nil, 3},
	}
	if !slices.EqualFunc(asked, want, func(a, b Intent) bool {
		return a.Action == b.Action && a.Queue == b.Queue && a.Count == b.Count && slices.Equal(a.IDs, b.IDs)
	}) {
		t.Errorf("asked %+v, want %+v", asked, want)
	}
}
