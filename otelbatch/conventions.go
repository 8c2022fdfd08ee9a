package otelbatch

import (
	"runtime/debug"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// SemanticConventions is the version of the OpenTelemetry semantic conventions that spans
// and metrics follow. Those for messaging are in development: a later version of this
// package may follow a later one of them, with other names.
const SemanticConventions = "1.43.0"

// Scope is the name of the instrumentation scope of all spans and metrics.
const Scope = "github.com/batch-go/batch/otelbatch"

// The names of operations, which spans are called by. Where the conventions have a type of
// operation for it, that has the same name.
const (
	opCreate     = "create"
	opSend       = "send"
	opReceive    = "receive"
	opProcess    = "process"
	opSettle     = "settle"
	opDeadLetter = "dead_letter"
)

// operation is what a call to a driver is called, and its type in the conventions, if they
// have one for it.
func operation(op batch.Op) (name, operationType string) {
	switch op {
	case batch.OpEnqueue, batch.OpImport:
		return opSend, opSend
	case batch.OpReceive:
		return opReceive, opReceive
	case batch.OpSettle:
		return opSettle, opSettle
	}
	return strings.ReplaceAll(string(op), " ", "_"), ""
}

// The attributes that are this package's own.
const (
	keyKind        = attribute.Key("batch.job.kind")
	keyAttempt     = attribute.Key("batch.job.attempt")
	keyMaxAttempts = attribute.Key("batch.job.max_attempts")
	keyDeliveries  = attribute.Key("batch.job.deliveries")
	keyOutcome     = attribute.Key("batch.job.outcome")
	keyReason      = attribute.Key("batch.job.reason")
	keyRetryDelay  = attribute.Key("batch.job.retry_delay")
	keyStarted     = attribute.Key("batch.job.started")
	keyDuplicate   = attribute.Key("batch.enqueue.duplicate")
	keyFate        = attribute.Key("batch.enqueue.fate")
	keyState       = attribute.Key("batch.queue.state")
	keyOverdue     = attribute.Key("batch.handler.overdue")
)

// other stands for a value of an attribute that has too many.
const other = "_OTHER"

// mostText bounds what a span has of the text of an error, in bytes, and mostWord what an
// attribute has of a word that is the application's.
const (
	mostText = 2048
	mostWord = 128
)

// clean makes a text fit to be sent: what is not valid UTF-8 would cost all the spans that
// are sent with it.
func clean(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// systems are the values of messaging.system that the conventions have for the drivers
// that there are, and for brokers that others may write drivers for. All other drivers
// are their own system: the conventions allow any other name.
var systems = map[string]string{
	"amqp":      "rabbitmq",
	"sqs":       "aws_sqs",
	"jetstream": "nats",
	// The URL schemes of Go CDK, which authors of drivers tend to take.
	"azuresb":   "servicebus",
	"gcppubsub": "gcp_pubsub",
}

// System is the value of messaging.system for a driver: that of the conventions for its
// broker, such as rabbitmq and aws_sqs, and otherwise the driver's name, such as redis,
// nats and memory. It is the protocol that counts, so Valkey is redis too.
func System(info driver.Info) string {
	name := strings.ToLower(info.Driver)
	if system, ok := systems[name]; ok {
		return system
	}
	if !isSystem(name) {
		return other
	}
	return name
}

// isSystem tells whether a name is fit to be a system's.
func isSystem(name string) bool {
	ok := name != "" && len(name) <= 64
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '.'
	}
	return ok
}

// version is that of this module in the program, or empty if it is not known.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == Scope && m.Replace == nil {
			return m.Version
		}
	}
	return ""
})
