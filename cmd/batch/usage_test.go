package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/batch-go/batch"
)

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		url  string
		args []string
		want string
	}{
		{"", []string{"stats"}, "BATCH_URL"},
		{"nosuch://x", []string{"stats"}, "no driver is registered"},
		{"redis://localhost:6379?poolsize=4", []string{"stats"}, "unknown parameter"},
		{"memory://", []string{"stat"}, "did you mean stats?"},
		{"memory://", []string{"completion", "tcsh"}, "unknown command"},
		{"memory://", []string{"help", "nope"}, `unknown command "nope"`},
		{"memory://", []string{"help", "dead", "nope"}, `unknown command "dead nope"`},
		{"memory://", []string{"stats", "--jsn"}, "unknown flag"},
		{"memory://", []string{"queues", "emails"}, "unknown command"},
		{"memory://", []string{"dead", "list"}, "requires at least 1 arg"},
		{"memory://", []string{"dead", "lst", "emails"}, "did you mean list?"},
		{"memory://", []string{"stats", "e-mails & more"}, "invalid queue name"},
		{"memory://", []string{"jobs", "find", "emails"}, "accepts 2 arg"},
		{"memory://", []string{"stats", "--timeout", "0s"}, "more than zero"},
		{"memory://", []string{"stats", "--timeout", "soon"}, "invalid argument"},
		{"memory://", []string{"bench", "--jobs", "0"}, "from 1 to"},
		{"memory://", []string{"dead", "purge", "emails", "--kind", "", "--reason", "expired"}, "--kind is empty"},
		{"memory://", []string{"dead", "redrive", "emails", "--error="}, "--error is empty"},
		{"memory://", []string{"dead", "list", "emails", "--reason", ""}, "--reason is empty"},
		{"memory://", []string{"dead", "list", "emails", "1", "--kind", "x"}, "cannot be combined"},
		{"memory://", []string{"doctor", "--monitoring", "http://admin:hunter2@rabbit:port"}, "--monitoring"},
	} {
		r := here(t, test.url, test.args...)
		r.want(t, exitUsage, test.want)
		if r.out != "" {
			t.Errorf("batch %q prints %q to the standard output", test.args, r.out)
		}
	}
}

func TestHelp(t *testing.T) {
	r := here(t, "", "help")
	r.want(t, exitOK, "Exit codes:", "BATCH_URL", "doctor", "batch dead redrive")
	for line := range strings.Lines(r.out) {
		if len([]rune(strings.TrimRight(line, "\n"))) > 100 {
			t.Errorf("this line of the help is longer than most terminals: %q", line)
		}
	}
	for _, args := range [][]string{{"dead"}, {"jobs"}, {"dead", "redrive", "--help"}, {"help", "bench"}} {
		here(t, "", args...).want(t, exitOK, "batch "+strings.TrimSuffix(args[0], "help"))
	}
}

// TestEveryCommandIsExplained: each command says in its help what it does, and shows it.
func TestEveryCommandIsExplained(t *testing.T) {
	root := newApp(nil, nil, nil, func(string) string { return "" }).command()
	for _, c := range append(root.Commands(), root) {
		for _, c := range append(c.Commands(), c) {
			if c.Short == "" || c.Long == "" || c.Example == "" && !c.HasSubCommands() {
				t.Errorf("%s has no short text, no long one, or no example", c.CommandPath())
			}
		}
	}
}

// TestDashesOfGo: -json is --json, also with a value, and nothing else changes.
func TestDashesOfGo(t *testing.T) {
	root := newApp(nil, nil, nil, func(string) string { return "" }).command()
	got := longFlags(root, []string{"stats", "-json", "-url=x", "--quiet", "-q", "-y", "-unknown", "-", "-error", "-all", "--kind", "-json", "--all", "-timeout=1s", "-json", "--", "-json"})
	want := []string{"stats", "--json", "--url=x", "--quiet", "-q", "-y", "-unknown", "-", "--error", "-all", "--kind", "-json", "--all", "--timeout=1s", "--json", "--", "-json"}
	if !slices.Equal(got, want) {
		t.Errorf("longFlags = %q, want %q", got, want)
	}
}

func TestCodes(t *testing.T) {
	ended := func(s os.Signal) context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(signalError{s})
		return ctx
	}
	plain := context.Background()
	for _, test := range []struct {
		ctx  context.Context
		err  error
		want int
	}{
		{plain, nil, exitOK},
		{plain, errors.New("anything"), exitFailed},
		{plain, batch.ErrBroker, exitFailed},
		{plain, usage("no"), exitUsage},
		{plain, &batch.InvalidError{Field: "x"}, exitUsage},
		{plain, fmt.Errorf("x: %w", batch.ErrConfig), exitUsage},
		{plain, batch.ErrNotFound, exitNotFound},
		{plain, &batch.CapabilityError{}, exitUnsupported},
		{plain, batch.ErrUnsupported, exitUnsupported},
		{plain, batch.ErrUnavailable, exitUnavailable},
		{plain, context.DeadlineExceeded, exitUnavailable},
		{plain, batch.ErrUnauthorized, exitUnauthorized},
		{plain, &unsoundError{1}, exitUnsound},
		{plain, errNotConfirmed, exitNotConfirmed},
		{plain, errors.Join(wrote(syscall.EPIPE), batch.ErrBroker), exitPipe},
		{ended(os.Interrupt), context.Canceled, exitInterrupted},
		{ended(syscall.SIGTERM), context.Canceled, exitTerminated},
		{ended(os.Interrupt), nil, exitOK},
	} {
		if got := codeOf(test.ctx, test.err); got != test.want {
			t.Errorf("the code of %v is %d, want %d", test.err, got, test.want)
		}
	}
}

// TestErrorsForPrograms: with --json an error is an object, and the output stays empty.
func TestErrorsForPrograms(t *testing.T) {
	r := here(t, "memory://errors", "stats", "nowhere", "-json")
	r.want(t, exitNotFound, `"exit_code":3}`, `{"error":"memory: depth on queue nowhere: not found`)
	if r.out != "" {
		t.Errorf("the output is %q", r.out)
	}
	for _, args := range [][]string{{"--bogus", "stats", "-json"}, {"stats", "--timeout", "soon", "--json"}, {"nope", "-json"}} {
		if r := here(t, "memory://", args...); r.code != exitUsage || !strings.HasPrefix(r.err, `{"error":"`) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("batch %q exits with %d and says %q, want one object", args, r.code, r.err)
		}
	}
	if r := here(t, "memory://", "--bogus", "stats", "--", "-json"); strings.HasPrefix(r.err, "{") {
		t.Errorf("behind the dashes -json is a name, and it says %q", r.err)
	}
}

// TestNoPasswordIsShown: an error of a broker that is not there repeats no credential.
func TestNoPasswordIsShown(t *testing.T) {
	for _, url := range []string{"redis://u:hunter2@127.0.0.1:1", "amqp://u:hunter2@127.0.0.1:1", "nats://u:hunter2@127.0.0.1:1", "redis://u:hunter2@bad port"} {
		for _, command := range []string{"stats", "doctor"} {
			if r := here(t, url, command); r.code == exitOK || strings.Contains(r.both(), "hunter2") {
				t.Errorf("batch %s exits with %d and says:\n%s", command, r.code, r.both())
			}
		}
	}
	for _, monitoring := range []string{
		"http://admin:hunter2@rabbit:port", "http://admin:hunter2%zz@rabbit", "admin:hunter2@rabbit:15672", "//admin:hunter2@rabbit", "http://u:hunter2@[::1",
		"http://rabbit?token=hunter2", "ftp://admin:hunter2@rabbit", "NONE",
	} {
		if r := here(t, "memory://", "doctor", "--monitoring", monitoring); r.code != exitUsage || strings.Contains(r.both(), "hunter2") {
			t.Errorf("with the monitoring %s it exits with %d and says:\n%s", monitoring, r.code, r.both())
		}
	}
}
