package dash

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// littered is a broker on which the dead letter b was sent by no program of this library: it has no kind, and died for
// no reason that is known.
type littered struct{ *memory.Driver }

func (l littered) DeadLetters(ctx context.Context, queue, cursor string, most int) ([]driver.DeadLetter, string, error) {
	page, next, err := l.Driver.DeadLetters(ctx, queue, cursor, most)
	for i := range page {
		if page[i].ID == "b" {
			page[i].Kind, page[i].Reason = "", ""
		}
	}
	return page, next, err
}

// Dead letters without a kind are a group of their own, and an action on it leaves all others.
func TestGroupWithoutKind(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, littered{d}, acting())
	p := a.get("queues/emails/dead")
	a.want(p, http.StatusOK, "these of no kind")
	row := regexp.MustCompile(`(?s)<tr>(?:[^\n]*)no kind.*?</tr>`).FindString(p.text)
	fields := formOf(page{text: row})
	if !fields.Has("kind") || fields.Get("kind") != "" {
		t.Fatalf("the form of the group has %v", fields)
	}
	confirm := a.get("queues/emails/confirm?do=delete&" + fields.Encode())
	a.want(confirm, http.StatusOK, "of no kind that died for no reason")
	a.want(a.post("queues/emails/delete", formOf(confirm)), http.StatusOK, "1 dead letter of queue emails deleted")
	if dead := ids(t, q, batch.StateDead); dead != "ac" {
		t.Errorf("dead are %q", dead)
	}
	link := regexp.MustCompile(`href="\.\./\.\./(queues/emails/dead\?kind=[^"]*)"`).FindStringSubmatch(row)
	if link == nil {
		t.Fatalf("the group has no link: %s", row)
	}
	a.want(a.get(strings.ReplaceAll(link[1], "&amp;", "&")), http.StatusOK, "0 of the 2 that were read")
}

// A dead letter with neither kind nor error is told of in words.
func TestFilterWords(t *testing.T) {
	f := filter{HasKind: true, HasReason: true, HasError: true}
	if got, want := f.Words(), "of no kind that died for no reason without an error"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !f.matches(&batch.Entry{}) || (filter{}).Set() {
		t.Error("it does not select what has nothing, or nothing selects")
	}
}
