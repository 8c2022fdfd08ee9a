package otelbatch_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/otelbatch"
)

// badFields is a propagator whose field no job can have.
type badFields struct{ propagation.TraceContext }

func (badFields) Fields() []string { return []string{"trace context"} }

// TestConfigIsChecked refuses what is out of bounds.
func TestConfigIsChecked(t *testing.T) {
	d := memory.New()
	for want, c := range map[string]otelbatch.Config{
		"System":             {System: "RabbitMQ"},
		"System \"" + "xxxx": {System: strings.Repeat("x", 65)},
		"DepthTimeout":       {DepthTimeout: time.Hour},
		"Propagator":         {Propagator: badFields{}},
		"attribute \"batch":  {Attributes: []attribute.KeyValue{attribute.String("batch.job.kind", "x")}},
		"attribute \"\"":     {Attributes: []attribute.KeyValue{{}}},
	} {
		if _, err := otelbatch.New(d, c); !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want ErrInvalid about %s", c, err, want)
		}
	}
	for _, none := range []batch.Driver{nil, (*memory.Driver)(nil)} {
		if _, err := otelbatch.New(none, otelbatch.Config{}); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("a driver that is nil: %v", err)
		}
	}
}

// TestZeroConfig takes the global providers, which do nothing here.
func TestZeroConfig(t *testing.T) {
	d := memory.New()
	hook, err := otelbatch.New(d, otelbatch.Config{})
	if err != nil {
		t.Fatal(err)
	}
	q := batch.NewQueue(d, "tasks", batch.WithHooks(hook))
	if _, err := q.Enqueue(t.Context(), task{}); err != nil {
		t.Fatal(err)
	}
	jobs, _, err := batch.ListJobs(t.Context(), q, batch.StateWaiting, "", 1)
	if err != nil || len(jobs) != 1 || len(jobs[0].Headers) > 0 {
		t.Errorf("a job without a trace is stored as %+v, %v", jobs, err)
	}
}

// TestAttributesAreAdded to spans and metrics.
func TestAttributesAreAdded(t *testing.T) {
	r := newRig(t, func(c *otelbatch.Config) {
		c.Attributes, c.System = []attribute.KeyValue{attribute.String("server.address", "broker")}, "kafka"
	})
	r.enqueue(task{})
	if span := r.only("send"); valueOf(span, "server.address") != "broker" || valueOf(span, "messaging.system") != "kafka" {
		t.Errorf("the span has %v", span.Attributes())
	}
	metrics, err := r.collect()
	if got := points(metrics["messaging.client.sent.messages"]); err != nil || len(got) != 1 || !strings.HasSuffix(got[0].attributes, "messaging.system=kafka,server.address=broker") {
		t.Errorf("the metric has %v, %v", got, err)
	}
}

// TestSystem has the names of all drivers.
func TestSystem(t *testing.T) {
	for name, want := range map[string]string{
		"memory": "memory", "redis": "redis", "amqp": "rabbitmq", "nats": "nats", "jetstream": "nats", "sqs": "aws_sqs",
		"Kafka": "kafka", "gcppubsub": "gcp_pubsub", "azuresb": "servicebus", "my driver": "_OTHER", "": "_OTHER",
	} {
		if got := otelbatch.System(driver.Info{Driver: name}); got != want {
			t.Errorf("the driver %q is the system %q, want %q", name, got, want)
		}
	}
}
