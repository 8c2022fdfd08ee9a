package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

// golden is the one output that all brokers have.
//
//go:embed testdata/output.txt
var golden string

// all are the brokers by name, and how to get a URL of one.
var all = []struct {
	name string
	url  func(t *testing.T) string
	// lacks is something that the broker does not have, as -need names it, and
	// refusal what the program says to that.
	lacks, refusal string
}{
	{name: "memory", url: func(*testing.T) string { return "memory://" }},
	{name: "redis", url: func(t *testing.T) string { return brokers.Redis(t, brokers.Redis8).URL() }},
	{
		name: "rabbitmq", url: func(t *testing.T) string { return brokers.RabbitMQ(t, brokers.RabbitMQ4).URL() },
		lacks: "unique", refusal: `batch: driver amqp \(RabbitMQ 4\.\S+\) lacks Deduplicator \(supported by: jetstream, memory, nats, postgres, redis\)`,
	},
	{
		name: "rabbitmq without priorities", url: func(t *testing.T) string { return brokers.RabbitMQ(t, brokers.RabbitMQ4).URL() },
		lacks: "priority", refusal: `batch: driver amqp \(RabbitMQ 4\.\S+\) lacks Prioritizer \(supported by: amqp \(opened by another URL\), memory, postgres, redis\)`,
	},
	{
		name: "nats", url: func(t *testing.T) string { return brokers.NATS(t, brokers.NATS2).URL() },
		lacks: "priority", refusal: `batch: driver nats \(NATS\S* 2\.\S+\) lacks Prioritizer \(supported by: amqp, memory, postgres, redis\)`,
	},
	{
		name: "jetstream in the process", url: func(t *testing.T) string { return "jetstream:" + filepath.ToSlash(t.TempDir()) },
		lacks: "group", refusal: `batch: driver jetstream \(NATS in the process 2\.\S+\) lacks Grouper \(supported by: memory, postgres, redis\)`,
	},
	{name: "postgres", url: func(t *testing.T) string { return brokers.PostgreSQL(t, brokers.PostgreSQL17).URL() }},
	{
		name: "sqs", url: func(t *testing.T) string { return sqsURL(t, "sqs") },
		lacks: "pause", refusal: `batch: driver sqs \(.*\) lacks Pauser \(supported by: jetstream, memory, nats, postgres, redis\)`,
	},
	{
		name: "sqs fifo", url: func(t *testing.T) string { return sqsURL(t, "sqs+fifo") },
		lacks: "priority", refusal: `batch: driver sqs \(.*\) lacks Prioritizer \(supported by: amqp, memory, postgres, redis\)`,
	},
}

// sqsURL is the URL of the server that stands for SQS.
func sqsURL(t *testing.T, scheme string) string {
	server := brokers.SQS(t)
	u := url.URL{
		Scheme: scheme, User: url.UserPassword(server.Username, server.Password), Host: brokers.SQSRegion, Path: "/",
		RawQuery: url.Values{"endpoint": {server.URL()}}.Encode(),
	}
	return u.String()
}

// start runs the program on a broker.
func start(t *testing.T, program, url string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "BATCH_URL="+url)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// TestOneProgramOnEveryBroker runs one binary on all of them: its output is the
// same, and what it relies on and a broker lacks ends it before it does anything.
func TestOneProgramOnEveryBroker(t *testing.T) {
	program := filepath.Join(t.TempDir(), "swap")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, b := range all {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			address := b.url(t)
			out, errs, err := start(t, program, address)
			if err != nil || errs != "" {
				t.Fatalf("the program ends with %v, and says:\n%s", err, errs)
			}
			if out != golden {
				t.Errorf("the output is\n%s\nwant\n%s", out, golden)
			}
			if b.lacks == "" {
				return
			}
			out, errs, err = start(t, program, address, "-need", b.lacks)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || out != "" {
				t.Errorf("with -need %s the program ends with %v, and prints %q", b.lacks, err, out)
			}
			if !regexp.MustCompile(`^swap: ` + b.refusal + `\n$`).MatchString(errs) {
				t.Errorf("with -need %s the error is\n%swant\n%s", b.lacks, errs, b.refusal)
			}
			t.Log(errs)
		})
	}
}
