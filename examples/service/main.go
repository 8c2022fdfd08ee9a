// Command service is a small service, whole: an API that enqueues, a worker, a scheduler, a dashboard, metrics, traces
// and probes, on the broker that BATCH_URL names. One binary has all parts, and is deployed once for each of them:
//
//	BATCH_URL=redis://localhost:6379 service api
//	BATCH_URL=redis://localhost:6379 service worker
//	BATCH_URL=redis://localhost:6379 service scheduler
//
// With a broker in the process there is one process, and nothing to install:
//
//	BATCH_URL=jetstream:jobs go run ./examples/service all
//
// docs/deploy.md takes it from there to production.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/batch-go/batch/examples/service/config"
)

// What the process ends with.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	os.Exit(program(os.Args[1:], os.Getenv, os.Stderr))
}

// program is main, but for what it ends with.
func program(args []string, getenv func(string) string, stderr io.Writer) int {
	if len(args) == 2 && args[0] == "probe" {
		return probe(args[1], stderr)
	}
	if len(args) != 1 || roles[args[0]] == nil {
		usage(stderr)
		return exitUsage
	}
	c, err := config.Load(getenv)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, args[0], c, stderr); err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	return exitOK
}

// usage says how to call the program.
func usage(w io.Writer) {
	fmt.Fprint(w, "service api | worker | scheduler | all    runs until SIGTERM\nservice probe URL                         ends with 0 if the URL answers 200\n\nThe environment:\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range config.Variables() {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", v.Name, v.Default, v.About)
	}
	_ = table.Flush()
}

// probe asks a URL, for the health checks of compose: an image without an operating system has no other program for it.
func probe(url string, stderr io.Writer) int {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		fmt.Fprintln(stderr, answer.Status)
		return exitFailed
	}
	return exitOK
}
