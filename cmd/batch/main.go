// Command batch looks after the queues of any broker that batch has a driver for: it lists
// queues, jobs and dead letters, redrives and purges, pauses, measures, and finds what is
// wrong with a broker. docs/cli.md shows all of it; batch help has the same in short.
//
//	go install github.com/batch-go/batch/cmd/batch@latest
//
// It is a module of its own, since it links every driver with the client of its broker.
package main

import (
	"os"

	_ "github.com/batch-go/batch/driver/amqp"
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/nats/embedded"
	_ "github.com/batch-go/batch/driver/postgres"
	_ "github.com/batch-go/batch/driver/redis"
	_ "github.com/batch-go/batch/driver/sqs"
)

// main runs one command and exits with its code.
func main() {
	ctx, stop := untilSignal()
	defer stop()
	os.Exit(newApp(os.Stdin, os.Stdout, os.Stderr, os.Getenv).run(ctx, os.Args[1:]))
}
