package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/brokers"
)

// update writes the transcripts of testdata, and those in docs/cli.md, as they are now.
var update = flag.Bool("update", false, "write the transcripts anew")

// target is a broker whose transcript is in the documents.
type target struct {
	name string
	// shown is the URL as the document has it.
	shown string
	url   func(t *testing.T, folder string) string
}

// targets are all brokers.
var targets = []target{
	{"redis", "redis://localhost:6379", func(t *testing.T, _ string) string { return brokers.NewRedis(t, brokers.Redis8).URL() }},
	{"rabbitmq", "amqp://localhost:5672", func(t *testing.T, _ string) string { return brokers.NewRabbitMQ(t, brokers.RabbitMQ4).URL() }},
	{"nats", "nats://localhost:4222", func(t *testing.T, _ string) string { return brokers.NewNATS(t, brokers.NATS2).URL() }},
	{"jetstream", "jetstream:jobs", func(t *testing.T, folder string) string { return "jetstream://" + filepath.ToSlash(folder) + "/jobs" }},
	{"sqs", "sqs://us-east-1/prod-", func(t *testing.T, _ string) string { return sqsURL(t, "prod-") }},
}

// sqsURL is the URL of a server that speaks SQS's protocol, which tests share, for queues of a
// prefix.
func sqsURL(t *testing.T, prefix string) string {
	t.Helper()
	s := brokers.SQS(t)
	query := url.Values{"endpoint": {s.URL()}, "wait": {"1s"}}
	return fmt.Sprintf("sqs://%s:%s@%s/%s?%s", s.Username, s.Password, brokers.SQSRegion, prefix, query.Encode())
}

// session is what is typed in each transcript.
var session = [][]string{
	{"stats", "emails"},
	{"stats", "emails", "-json"},
	{"queues"},
	{"dead", "list", "emails"},
	{"dead", "redrive", "emails", "--reason", "max-attempts"},
	{"dead", "purge", "emails", "0199a2c5", "--yes"},
	{"dead", "purge", "emails", "--all"},
	{"jobs", "list", "emails", "--state", "scheduled"},
	{"jobs", "find", "emails", "0199a2c1", "--body"},
	{"jobs", "delete", "emails", "0199a2c2", "--yes"},
	{"pause", "emails"},
	{"doctor", "emails"},
	{"stats", "nowhere"},
	{"bench", "--jobs", "1000", "--single", "20"},
}

// TestTranscripts types the session on every broker, with the binary, and compares what it
// prints with testdata and with docs/cli.md.
func TestTranscripts(t *testing.T) {
	for _, target := range targets {
		t.Run(target.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			address := target.url(t, folder)
			prepare(t, address)
			var b bytes.Buffer
			fmt.Fprintf(&b, "$ export BATCH_URL=%s\n", target.shown)
			for _, args := range session {
				c := process(t, address, args...)
				c.Stdout, c.Stderr = &b, &b
				fmt.Fprintf(&b, "$ batch %s\n", strings.Join(args, " "))
				err := c.Run()
				if c.ProcessState == nil {
					t.Fatal(err)
				}
				if code := c.ProcessState.ExitCode(); code != 0 {
					fmt.Fprintf(&b, "[exit code %d]\n", code)
				}
			}
			compare(t, target.name, strings.ReplaceAll(b.String(), folder+"/", ""))
		})
	}
}

// prepare seeds the queue emails, with a connection that has ended before it returns: a folder
// of JetStream is one process's at a time.
func prepare(t *testing.T, address string) {
	t.Helper()
	ctx := testContext(t)
	d, err := batch.Open[batch.Driver](ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	seed(t, d, "emails")
	if err := d.Close(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}
}

// compare holds a transcript against its file and the document, or writes both.
func compare(t *testing.T, name, got string) {
	t.Helper()
	path, document := filepath.Join("testdata", name+".txt"), filepath.Join("..", "..", "docs", "cli.md")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if squeeze(got) != squeeze(string(want)) {
		t.Errorf("%s is not what was printed (go test -update writes it):\n%s", path, got)
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "<!-- transcript: "+name+" -->\n\n```console\n"+string(want)+"```\n") {
		t.Errorf("docs/cli.md does not have %s (go test -update -run TestDocument writes it)", path)
	}
}

// changing are what differs between two runs: ages and rates, versions, shares, addresses,
// and with them the blanks between columns.
var changing = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`dial tcp [^ ]+`), "dial tcp ADDRESS"},
	{regexp.MustCompile(`batch-bench-[0-9a-f]+`), "batch-bench-NAME"},
	{regexp.MustCompile(`(?m)^(enqueue|process|single enqueue|single start)  .*$`), "$1"},
	{regexp.MustCompile(`"age_seconds":[0-9.e-]+`), `"age_seconds":N`},
	{regexp.MustCompile(`\d+% of`), "N% of"},
	{regexp.MustCompile(`\d+ of \d+ clients`), "N of N clients"},
	{regexp.MustCompile(`\d+ bytes`), "N bytes"},
	{regexp.MustCompile(`\b(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s)?\b( ago)?`), ""},
	{regexp.MustCompile(`\d+(\.\d+)+`), "N.N"},
	{regexp.MustCompile(` +`), " "},
	{regexp.MustCompile(`(?m) +$`), ""},
}

// squeeze takes out what differs between two runs.
func squeeze(s string) string {
	for _, c := range changing {
		s = c.pattern.ReplaceAllString(s, c.with)
	}
	return s
}

// documented are the names of the transcripts that docs/cli.md has.
func documented() []string {
	names := []string{"dash"}
	for _, target := range targets {
		names = append(names, target.name)
	}
	return names
}

// TestDocument writes the transcripts into docs/cli.md, with -update, and holds the tables of
// it against the code.
func TestDocument(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "cli.md")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	if *update {
		for _, name := range documented() {
			transcript, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			mark := "<!-- transcript: " + name + " -->\n\n"
			before, after, ok := strings.Cut(text, mark+"```console\n")
			_, rest, closed := strings.Cut(after, "```\n")
			if !ok || !closed {
				t.Fatalf("%s has no place for %s", path, name)
			}
			text = before + mark + "```console\n" + string(transcript) + "```\n" + rest
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, code := range []int{exitOK, exitFailed, exitUsage, exitNotFound, exitUnsupported, exitUnavailable, exitUnauthorized, exitUnsound, exitNotConfirmed, exitInterrupted, exitPipe, exitTerminated} {
		if !strings.Contains(text, fmt.Sprintf("| %d |", code)) {
			t.Errorf("docs/cli.md does not say what the exit code %d means", code)
		}
	}
	root := newApp(nil, nil, nil, func(string) string { return "" }).command()
	for _, c := range root.Commands() {
		if !strings.Contains(text, "batch "+c.Name()) {
			t.Errorf("docs/cli.md does not mention batch %s", c.Name())
		}
	}
	for _, field := range jsonFields(depthRecord{}, jobRecord{}, findingRecord{}, phaseRecord{}, dashRecord{}) {
		if !strings.Contains(text, "`"+field+"`") {
			t.Errorf("docs/cli.md does not say what the field %s is", field)
		}
	}
}
