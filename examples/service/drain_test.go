package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch/examples/service/config"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/health"
	"github.com/batch-go/batch/internal/brokers"
)

// TestStopLosesNoJob sends SIGTERM to a worker in the middle of its jobs. What has begun ends, what has not begun is given
// back, and another worker does it: each mail is sent once.
func TestStopLosesNoJob(t *testing.T) {
	const users, atOnce = 30, 5
	mails := newProvider(t, 0)
	mails.hold = make(chan struct{})
	env := []string{
		"BATCH_URL=" + brokers.NewRedis(t, brokers.Redis8).URL(), "MAIL_URL=" + mails.URL, fmt.Sprintf("CONCURRENCY=%d", atOnce),
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", // nobody: traces are lost, jobs are not
	}
	api, first := start(t, "api", env...), start(t, "worker", env...)
	for id := range users {
		if status, body := do(http.MethodPost, fmt.Sprintf("%s/users/%d/welcome", api.api(), id)); status != http.StatusAccepted {
			t.Fatalf("the answer is %d %s", status, body)
		}
	}
	for range atOnce {
		<-mails.began
	}
	first.terminate()
	first.logged("the worker drains", func(line map[string]any) bool {
		return strings.Contains(fmt.Sprint(line), "draining")
	})
	if status, body := get(first.ops() + "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("a worker that drains is ready: %d %s", status, body)
	}
	if status, body := get(first.ops() + "/livez"); status != http.StatusOK {
		t.Errorf("a worker that drains is not alive: %d %s", status, body)
	}
	close(mails.hold)
	if code := first.exits(); code != exitOK {
		t.Errorf("the worker exits with %d", code)
	}
	if n := len(mails.mails()); n != atOnce {
		t.Errorf("the worker has sent %d mails, want the %d that had begun", n, atOnce)
	}

	second := start(t, "worker", env...)
	await(t, "all mails are sent", func() bool { return len(mails.mails()) == users })
	await(t, "the queue is empty", func() bool {
		var load health.Load
		fetch(t, api.ops()+"/scale", &load)
		emails := load.Queues[jobs.Emails]
		return emails.Demand != nil && *emails.Demand == 0 && emails.Dead != nil && *emails.Dead == 0
	})
	for key, n := range mails.mails() {
		if n != 1 {
			t.Errorf("mail %s was sent %d times", key, n)
		}
	}
	second.terminate()
	if code := second.exits(); code != exitOK {
		t.Errorf("the second worker exits with %d", code)
	}
}

// TestWrongConfigurations has what an operator gets wrong. The process ends, and says what it is.
func TestWrongConfigurations(t *testing.T) {
	for name, test := range map[string]struct {
		env  []string
		code int
		want string
	}{
		"nothing set":            {[]string{"BATCH_URL="}, exitUsage, "BATCH_URL is not set"},
		"a mistake":              {[]string{"BATCH_URL=memory://", "CONCURRENCY=many"}, exitUsage, `CONCURRENCY is "many"`},
		"no such driver":         {[]string{"BATCH_URL=kafka://localhost"}, exitFailed, "kafka"},
		"nobody listens":         {[]string{"BATCH_URL=redis://127.0.0.1:1", "BROKER_PATIENCE=1s"}, exitFailed, "the broker cannot be reached"},
		"an address that is bad": {[]string{"BATCH_URL=memory://", "OPS_ADDRESS=192.0.2.1:1"}, exitFailed, "192.0.2.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, "worker", test.env...)
			if code := p.exits(); code != test.code || !strings.Contains(p.raw.String(), test.want) {
				t.Errorf("the process exits with %d and says\n%s\nwant %d and in it %s", code, p.raw.String(), test.code, test.want)
			}
		})
	}
}

// TestRolesAreThoseOfTheConfiguration compares the two lists.
func TestRolesAreThoseOfTheConfiguration(t *testing.T) {
	if got := slices.Sorted(maps.Keys(roles)); !slices.Equal(got, slices.Sorted(slices.Values(config.Roles))) {
		t.Errorf("the program has the roles %q, the configuration %q", got, config.Roles)
	}
}
