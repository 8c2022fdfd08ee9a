package browser_test

import (
	"strings"
	"testing"

	"github.com/batch-go/batch"
)

// want checks what a queue holds.
func want(t *testing.T, d batch.Driver, queue string, waiting, scheduled, dead int64) {
	t.Helper()
	if got := depth(t, d, queue); got.Waiting != waiting || got.Scheduled != scheduled || got.Dead != dead {
		t.Errorf("queue %s has %+v, want %d waiting, %d scheduled and %d dead", queue, got, waiting, scheduled, dead)
	}
}

// TestDelete chooses dead letters by their boxes, and deletes them when it is asked whether that is meant, and a scheduled job.
func TestDelete(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, everything())
	b := open(t, desk)
	b.visit(s.url + "queues/emails/dead")
	b.click(button, "Delete chosen…", "")
	b.sees("None is chosen")
	b.forgets("400")
	b.visit(s.url + "queues/emails/dead")
	b.click(checkbox, "Choose job invoice-1", "")
	b.click(checkbox, "Choose job digest-1", "")
	b.click(button, "Delete chosen…", "")
	b.sees("Delete 2 dead letters of emails?", "gone for good")
	b.click(link, "Cancel", "")
	b.sees("By kind and error")
	want(t, d, "emails", 0, 1, 9)
	b.click(checkbox, "Choose job invoice-1", "")
	b.click(checkbox, "Choose job digest-1", "")
	b.click(button, "Delete chosen…", "")
	b.click(button, "Delete 2 dead letters", "")
	b.sees("2 dead letters of queue emails deleted.")
	want(t, d, "emails", 0, 1, 7)
	b.click(link, "To the dead letters", "")
	b.sees("All 7, counted now")
	b.click(checkbox, "Choose all jobs of this page", "")
	b.click(button, "Redrive chosen", "")
	b.sees("7 dead letters of queue emails redriven.")
	want(t, d, "emails", 7, 1, 0)

	b.click(link, "emails", "")
	b.click(link, "Scheduled", "")
	b.click(link, "Delete job later-1 …", "")
	b.sees("Delete job later-1 of emails?")
	b.click(button, "Delete job later-1", "")
	b.sees("Job later-1 of queue emails was deleted.")
	want(t, d, "emails", 7, 0, 0)
}

// TestPurge removes all only if the name of the queue is typed.
func TestPurge(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, everything())
	b := open(t, desk)
	b.visit(s.url + "queues/emails")
	b.click(link, "Purge dead letters…", "")
	b.sees("Purge all 9 dead letters of emails?", "gone for good")
	b.click(button, "Purge all 9 dead letters", "") // without a name the browser does not even send it
	b.sees("Purge all 9 dead letters of emails?")
	b.fill(textbox, "Type the queue’s name, emails", "", "email")
	b.click(button, "Purge all 9 dead letters", "")
	b.sees("That is not the queue's name", "Nothing was done")
	b.forgets("422")
	want(t, d, "emails", 0, 1, 9)
	b.visit(s.url + "queues/emails/confirm?do=purge-dead")
	b.fill(textbox, "Type the queue’s name, emails", "", "emails")
	b.click(button, "Purge all 9 dead letters", "")
	b.sees("9 dead letters of queue emails purged.")
	want(t, d, "emails", 0, 1, 0)

	b.visit(s.url + "queues/reports")
	b.click(link, "Purge waiting jobs…", "")
	b.fill(textbox, "Type the queue’s name, reports", "", "reports")
	b.click(button, "Purge all 2 waiting jobs", "")
	b.sees("2 waiting jobs of queue reports purged.")
	want(t, d, "reports", 0, 1, 0)
}

// TestPause pauses a queue and resumes it, and the list shows it.
func TestPause(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, everything())
	q, err := batch.Admin(d, "reports")
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, desk)
	b.visit(s.url + "queues/reports")
	for _, step := range []struct {
		do, said, shown string
		paused          bool
	}{
		{"Pause", "Queue reports is paused.", "The broker hands out none of its jobs.", true},
		{"Resume", "Queue reports is resumed.", "The broker hands out its jobs.", false},
	} {
		b.click(button, step.do, "")
		b.sees(step.said)
		if paused, err := q.Paused(t.Context()); err != nil || paused != step.paused {
			t.Errorf("after %s: paused is %v, %v", step.do, paused, err)
		}
		b.click(link, "To the queue", "")
		b.sees(step.shown)
	}
}

// TestOnlyLooking: without an Authorizer nothing on any page acts, and without ShowBodies no page has a body.
func TestOnlyLooking(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, viewing("emails"))
	b := open(t, desk)
	b.crawl(s.url, func() {
		for _, use := range b.usable() {
			for _, verb := range []string{"Redrive", "Delete", "Purge", "Pause", "Resume", "Edit"} {
				if strings.HasPrefix(use, "button "+verb) || strings.HasPrefix(use, "link "+verb) {
					t.Errorf("%s has the %s", b.location(), use)
				}
			}
		}
		b.lacks(`de_DE&`, "&#34;locale&#34;", "4711", "acme", `method="post"`)
	})
}
