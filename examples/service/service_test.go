package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

// picture is what one job of the service looks like in a tracing tool. It is in docs/telemetry.md too.
const picture = `trace 1
  shop-api     server    POST /users/{id}/welcome: 202
  shop-api     producer    send emails
trace 2, linked to "send emails" of trace 1
  shop-worker  consumer  process emails: attempt 1, retry, error "mail: the provider answers 503 Service Unavailable"
  shop-worker  client      HTTP POST: 503
trace 3, linked to "send emails" of trace 1
  shop-worker  consumer  process emails: attempt 2, done
  shop-worker  client      HTTP POST: 200
`

// TestOneJob follows one job through the whole service, from the request over a mail that is refused to one that is sent:
// in the traces, in the log and in the metrics.
func TestOneJob(t *testing.T) {
	collector, mails := newCollector(t), newProvider(t, 1)
	env := []string{
		"BATCH_URL=" + brokers.NewRedis(t, brokers.Redis8).URL(), "MAIL_URL=" + mails.URL,
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL,
	}
	api, worker, scheduler := start(t, "api", env...), start(t, "worker", env...), start(t, "scheduler", env...)
	if status, body := do(http.MethodPost, api.api()+"/users/7/welcome"); status != http.StatusAccepted {
		t.Fatalf("the answer is %d %s", status, body)
	}
	await(t, "the mail is sent", func() bool { return len(mails.mails()) == 1 })
	await(t, "the job is done", func() bool {
		_, body := get(worker.ops() + "/metrics")
		return strings.Contains(body, `batch_job_outcomes_total{kind="email.welcome",outcome="done",queue="emails"} 1`)
	})
	checkMetrics(t, api, worker, scheduler)
	for _, p := range []*process{api, scheduler, worker} {
		p.terminate()
		if code := p.exits(); code != exitOK {
			t.Errorf("a process exits with %d", code)
		}
	}
	spans := collector.spans()
	if got := draw(spans); got != picture {
		t.Errorf("the trace is\n%s\nwant\n%s", got, picture)
	}
	checkLog(t, worker, spans)
}

// checkMetrics looks for the series that each process has.
func checkMetrics(t *testing.T, api, worker, scheduler *process) {
	t.Helper()
	for p, series := range map[*process][]string{
		api: {
			`batch_enqueues_total{kind="email.welcome",queue="emails",result="stored"} 1`,
			`batch_queue_backlog_jobs{queue="emails"} 0`, `batch_queue_jobs{queue="emails",state="dead"} 0`, `batch_queue_up{queue="emails"} 1`,
			`go_goroutines`,
		},
		worker: {
			`batch_job_outcomes_total{kind="email.welcome",outcome="retried",queue="emails"} 1`,
			`batch_job_duration_seconds_count{kind="email.welcome",outcome="done",queue="emails"} 1`,
			`batch_handlers_running{kind="email.welcome",queue="emails"} 0`,
		},
		scheduler: {`cron_events_total{event="schedule started",schedule="digest"} 1`},
	} {
		_, body := get(p.ops() + "/metrics")
		for _, want := range series {
			if !strings.Contains(body, "\n"+want) {
				t.Errorf("there is no series %s in\n%s", want, body)
			}
		}
	}
}

// checkLog looks for the line about the run that failed. It leads to its trace.
func checkLog(t *testing.T, worker *process, spans []span) {
	t.Helper()
	line := worker.logged("a line about the failure", func(line map[string]any) bool { return line["level"] == "WARN" && line["kind"] == "email.welcome" })
	for _, s := range spans {
		if s.trace() == line["trace_id"] && s.attribute("batch.job.outcome") == "retry" {
			return
		}
	}
	text, _ := json.Marshal(line)
	t.Errorf("no span of a run that failed has the trace of the line %s", text)
}

// TestPictureIsInTheDocument compares the two.
func TestPictureIsInTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil || !strings.Contains(string(text), "```\n"+picture+"```\n") {
		t.Errorf("docs/telemetry.md does not have the trace as it is, %v", err)
	}
}

// TestAllInOneProcess has all parts in one process, on a broker in that process. A second life finds the jobs of the first.
func TestAllInOneProcess(t *testing.T) {
	mails := newProvider(t, 0)
	url := "BATCH_URL=jetstream:" + filepath.ToSlash(t.TempDir())
	mails.hold = make(chan struct{})
	first := start(t, "all", url, "MAIL_URL="+mails.URL, "STOP_TIMEOUT=2s")
	for id := range 3 {
		if status, body := do(http.MethodPost, fmt.Sprintf("%s/users/%d/welcome", first.api(), id)); status != http.StatusAccepted {
			t.Fatalf("the answer is %d %s", status, body)
		}
	}
	<-mails.began
	first.terminate() // the mails that are held up are given back
	if code := first.exits(); code != exitOK {
		t.Errorf("the first process exits with %d", code)
	}
	close(mails.hold)
	second := start(t, "all", url, "MAIL_URL="+mails.URL)
	await(t, "all mails are sent", func() bool { return len(mails.mails()) == 3 })
	await(t, "the jobs are done", func() bool {
		_, body := get(second.ops() + "/metrics")
		return strings.Contains(body, `batch_job_outcomes_total{kind="email.welcome",outcome="done",queue="emails"} 3`)
	})
	second.terminate()
	if code := second.exits(); code != exitOK {
		t.Errorf("the second process exits with %d", code)
	}
}
