package collector

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/batch-go/batch"
	_ "github.com/batch-go/batch/driver/amqp"
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/redis"
	_ "github.com/batch-go/batch/driver/sqs"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/uuid"
)

func TestMain(m *testing.M) { brokers.Main(m) }

// all are the brokers, by what they are called in spans, and how to get a URL of one.
var all = map[string]func(t *testing.T) string{
	"memory":   func(*testing.T) string { return "memory://" },
	"redis":    func(t *testing.T) string { return brokers.Redis(t, brokers.Redis8).URL() },
	"rabbitmq": func(t *testing.T) string { return brokers.RabbitMQ(t, brokers.RabbitMQ4).URL() },
	"nats":     func(t *testing.T) string { return brokers.NATS(t, brokers.NATS2).URL() },
	"aws_sqs": func(t *testing.T) string {
		i := brokers.SQS(t)
		return "sqs://" + i.Username + ":" + i.Password + "@" + brokers.SQSRegion + "/?" + url.Values{"endpoint": {i.URL()}}.Encode()
	},
}

// picture is what one job of the service looks like in a tracing tool, on each broker. It is
// in docs/telemetry.md too.
const picture = `trace 1
  server   POST /users/{id}/welcome
    producer send emails
trace 2, linked to "send emails" of trace 1
  consumer process emails: attempt 1, retry, error "mailbox full"
    client   smtp
trace 3, linked to "send emails" of trace 1
  consumer process emails: attempt 2, done
    client   smtp
`

// TestTraceOfOneJob sends the trace of one job to a Collector, through an API, an enqueue, a
// first run that fails and a retry that succeeds, and reads it back, on each broker.
func TestTraceOfOneJob(t *testing.T) {
	for system, address := range all {
		t.Run(system, func(t *testing.T) {
			collector := startServer(t)
			d, err := batch.Open[batch.Driver](t.Context(), address(t))
			if err != nil {
				t.Fatal(err)
			}
			s := &service{driver: d, queue: "emails-" + uuid.NewV7(time.Now()), collector: collector.address}
			s.run(t)
			if err := d.Close(context.Background()); err != nil {
				t.Error(err)
			}
			spans := collector.readSpans(t)
			if got := strings.ReplaceAll(draw(spans), s.queue, "emails"); got != picture {
				t.Errorf("the trace is\n%s\nwant\n%s", got, picture)
			}
			for _, span := range spans {
				if v, ok := span.Attributes().Get("messaging.system"); ok && v.Str() != system {
					t.Errorf("%s is of the system %s, want %s", span.Name(), v.Str(), system)
				}
			}
			metrics := collector.readMetrics(t)
			checkMetrics(t, metrics)
			checkDepth(t, system, metrics["batch.queue.depth"])
		})
	}
}

// TestPictureIsInTheDocument compares the two.
func TestPictureIsInTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil || !strings.Contains(string(text), "```\n"+picture+"```\n") {
		t.Errorf("docs/telemetry.md does not have the trace as it is, %v", err)
	}
}

// checkMetrics looks for the metrics of the service.
func checkMetrics(t *testing.T, metrics map[string]pmetric.Metric) {
	t.Helper()
	for name, want := range map[string]float64{
		"messaging.client.sent.messages": 1, "messaging.client.consumed.messages": 2, "messaging.process.duration": 2, "batch.job.outcomes": 2,
	} {
		m, got := metrics[name], 0.0
		switch m.Type() {
		case pmetric.MetricTypeSum:
			for _, p := range m.Sum().DataPoints().All() {
				got += float64(p.IntValue())
			}
		case pmetric.MetricTypeHistogram:
			for _, p := range m.Histogram().DataPoints().All() {
				got += float64(p.Count())
			}
		}
		if got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// checkDepth looks for the states that a broker knows: RabbitMQ does not tell how many jobs
// run, which is then absent, and not zero.
func checkDepth(t *testing.T, system string, depth pmetric.Metric) {
	t.Helper()
	states := make(map[string]bool)
	if depth.Type() == pmetric.MetricTypeGauge {
		for _, p := range depth.Gauge().DataPoints().All() {
			state, _ := p.Attributes().Get("batch.queue.state")
			states[state.Str()] = true
		}
	}
	for _, state := range []string{"waiting", "scheduled", "running", "dead"} {
		if want := system != "rabbitmq" || state != "running"; states[state] != want {
			t.Errorf("the number of jobs that are %s is there: %t, want %t", state, states[state], want)
		}
	}
}

// draw draws the traces of spans.
func draw(spans []ptrace.Span) string {
	slices.SortFunc(spans, func(a, b ptrace.Span) int { return a.StartTimestamp().AsTime().Compare(b.StartTimestamp().AsTime()) })
	numbers := make(map[pcommon.TraceID]int)
	names := make(map[pcommon.SpanID]string)
	for _, span := range spans {
		if numbers[span.TraceID()] == 0 {
			numbers[span.TraceID()] = len(numbers) + 1
		}
		names[span.SpanID()] = span.Name()
	}
	var b strings.Builder
	for _, root := range spans {
		if !root.ParentSpanID().IsEmpty() {
			continue
		}
		fmt.Fprintf(&b, "trace %d", numbers[root.TraceID()])
		for _, link := range root.Links().All() {
			fmt.Fprintf(&b, ", linked to %q of trace %d", names[link.SpanID()], numbers[link.TraceID()])
		}
		b.WriteString("\n")
		drawBelow(&b, spans, root, "  ")
	}
	return b.String()
}

// drawBelow draws a span and its children.
func drawBelow(b *strings.Builder, spans []ptrace.Span, span ptrace.Span, indent string) {
	fmt.Fprintf(b, "%s%-8s %s", indent, strings.ToLower(span.Kind().String()), span.Name())
	if attempt, ok := span.Attributes().Get("batch.job.attempt"); ok {
		outcome, _ := span.Attributes().Get("batch.job.outcome")
		fmt.Fprintf(b, ": attempt %d, %s", attempt.Int(), outcome.Str())
	}
	if span.Status().Code() == ptrace.StatusCodeError {
		fmt.Fprintf(b, ", error %q", span.Status().Message())
	}
	b.WriteString("\n")
	for _, child := range spans {
		if child.ParentSpanID() == span.SpanID() {
			drawBelow(b, spans, child, indent+"  ")
		}
	}
}
