package browser_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/batch-go/batch"
)

// TestTour is the story of docs/dash-tour.md, on Redis: a kind of jobs that fails is found, looked into, mended and redriven,
// and the jobs run through. With -screenshots it takes the pictures.
func TestTour(t *testing.T) {
	t.Parallel()
	d := onRedis(t, 1)
	seed(t, d)
	s := serve(t, d, everything())
	mailer := startMailer(t, d)
	liven(t, d)
	b := open(t, desk)

	b.visit(s.url)
	b.sees("4 queues", "10 dead")
	b.shoot("1-queues", 780)
	b.click(link, "9 dead letters of emails", "")

	b.sees("By kind and error", "All 9, counted now")
	b.await("the group of the kind", `document.body.innerText.includes("email.welcome") && document.querySelector("tbody tr td").innerText == "6"`)
	b.shoot("2-dead-letters", 740)
	b.click(link, "email.welcome", "these of kind email.welcome")

	b.sees("6 of the 9 that were read")
	b.loses("email.invoice")
	b.click(link, "email.welcome", "welcome-0")

	b.sees("Last error", unknownLocale, `"locale": "de_DE"`, "tenant", "acme", "25 of 25")
	b.shoot("3-job", 860)
	b.click(link, "Edit and redrive…", "")

	b.sees("Body, application/json")
	b.fill(textbox, "Body, application/json", "", `{"user_id":4711,"locale":de}`)
	b.click(button, "Redrive with this body", "")
	b.sees("Not redriven", "The body is not JSON")
	b.forgets("422")
	b.fill(textbox, "Body, application/json", "", `{"user_id":4711,"locale":"de"}`)
	b.shoot("4-edit", 860)
	b.click(button, "Redrive with this body", "")
	b.sees("Job welcome-0 of queue emails was redriven.")
	mailer.sent(4711)

	mailer.learn("de_DE") // a version of the program that knows it is deployed
	b.click(link, "To the dead letters", "")
	b.sees("All 8, counted now")
	b.look(night)
	b.click(button, "Redrive these of kind email.welcome", "")
	b.sees("Redrive the dead letters of kind email.welcome", "Mend the cause first")
	b.shoot("5-redrive", 780)
	b.click(button, "Redrive these", "")
	b.sees("5 dead letters of queue emails redriven.")
	mailer.sent(4712, 4713, 4714, 4715, 4716)

	b.look(phone)
	b.visit(s.url)
	b.sees("4 queues", "0 running", "4 dead")
	b.fits()
	b.shoot("6-phone", 844)
	if got := depth(t, d, "emails"); got.Dead != 3 || got.Waiting != 0 || got.Running != 0 {
		t.Errorf("at the end there are %+v", got)
	}
}

// mailer works on the queue emails: its welcomes fail in languages that it does not know.
type mailer struct {
	t *testing.T

	mu      sync.Mutex // guards following
	locales map[string]bool
	users   map[int]bool
	more    chan struct{} // closed when there is another user
}

// startMailer starts it, until the test ends.
func startMailer(t *testing.T, d batch.Driver) *mailer {
	t.Helper()
	m := &mailer{t: t, locales: map[string]bool{"de": true, "en": true}, users: make(map[int]bool), more: make(chan struct{})}
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "emails"}}})
	batch.Handle(w, func(_ context.Context, job *batch.Job[Welcome]) error { return m.welcome(job.Args) })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return m
}

// welcome sends a mail, or fails for the want of a template.
func (m *mailer) welcome(w Welcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.locales[w.Locale] {
		return fmt.Errorf("render: no template for the locale %q", w.Locale)
	}
	m.users[w.UserID] = true
	close(m.more)
	m.more = make(chan struct{})
	return nil
}

// learn makes it know a language.
func (m *mailer) learn(locale string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locales[locale] = true
}

// sent waits until users got their mails.
func (m *mailer) sent(users ...int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), bound)
	defer cancel()
	for _, user := range users {
		for {
			m.mu.Lock()
			done, more := m.users[user], m.more
			m.mu.Unlock()
			if done {
				break
			}
			select {
			case <-more:
			case <-ctx.Done():
				m.t.Fatalf("user %d got no mail", user)
			}
		}
	}
}
