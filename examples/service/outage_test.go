package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

// TestProbesThroughAnOutage takes the broker away, and brings it back. Nobody is restarted for it: all stay alive. The worker
// is not ready in between, so that a rollout stops there; the API is, and says that it cannot take the job.
func TestProbesThroughAnOutage(t *testing.T) {
	mails, redis := newProvider(t, 0), brokers.NewRedis(t, brokers.Redis8)
	env := []string{"BATCH_URL=" + redis.URL(), "MAIL_URL=" + mails.URL, "BROKER_PATIENCE=5s"}
	api, worker := start(t, "api", env...), start(t, "worker", env...)
	is := func(p *process, path string, want int) func() bool {
		return func() bool { status, _ := get(p.ops() + path); return status == want }
	}
	await(t, "the worker is ready", is(worker, "/readyz", http.StatusOK))

	if err := redis.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the worker is not ready", is(worker, "/readyz", http.StatusServiceUnavailable))
	for _, p := range []*process{api, worker} {
		if status, body := get(p.ops() + "/livez"); status != http.StatusOK {
			t.Errorf("without a broker a process is not alive: %d %s", status, body)
		}
	}
	if status, body := get(api.ops() + "/readyz"); status != http.StatusOK {
		t.Errorf("without a broker the API is not ready: %d %s", status, body)
	}
	if status, body := do(http.MethodPost, api.api()+"/users/7/welcome"); status != http.StatusServiceUnavailable {
		t.Errorf("without a broker the answer is %d %s", status, body)
	}
	if status, body := get(api.ops() + "/scale"); status != http.StatusServiceUnavailable {
		t.Errorf("without a broker the autoscaler is told %d %s", status, body)
	}
	if _, body := get(api.ops() + "/metrics"); !strings.Contains(body, `batch_queue_up{queue="emails"} 0`) || strings.Contains(body, "batch_queue_backlog_jobs{") {
		t.Errorf("without a broker the metrics are\n%s", body)
	}

	if err := redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the worker is ready again", is(worker, "/readyz", http.StatusOK))
	await(t, "the API takes a job", func() bool {
		status, _ := do(http.MethodPost, api.api()+"/users/8/welcome")
		return status == http.StatusAccepted
	})
	await(t, "the mail is sent", func() bool { return len(mails.mails()) >= 1 })
	if code := worker.command.ProcessState; code != nil {
		t.Errorf("the worker has ended: %v", code)
	}
}

// fetch decodes an answer.
func fetch(t *testing.T, url string, into any) {
	t.Helper()
	_, body := get(url)
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%s answers %q", url, body)
	}
}
