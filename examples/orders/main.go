// Command orders is a small shop on PostgreSQL: an API that takes orders, and a worker that charges them. An order and its
// job are committed together, and each order is paid exactly once, whatever is killed and whenever. README.md has what to
// type, and why that is so.
//
//	orders api        takes orders
//	orders worker     charges them
//	orders payments   is a provider of payments to try it with
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/orders/api"
	"github.com/batch-go/batch/examples/orders/payments"
	"github.com/batch-go/batch/examples/orders/shop"
	"github.com/batch-go/batch/examples/orders/worker"

	// The brokers that BROKER_URL may name, beside the database. A program of your own imports one, or none.
	_ "github.com/batch-go/batch/driver/amqp"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/redis"
	_ "github.com/batch-go/batch/driver/sqs"
)

func main() {
	os.Exit(program(os.Args[1:], os.Getenv, os.Stderr))
}

// program is main, but for what it ends with.
func program(args []string, getenv func(string) string, stderr io.Writer) int {
	roles := map[string]func(context.Context, func(string) string, *slog.Logger) error{
		"api": serveAPI, "worker": work, "payments": servePayments,
	}
	if len(args) != 1 || roles[args[0]] == nil {
		fmt.Fprintln(stderr, "want orders api, orders worker or orders payments")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := roles[args[0]](ctx, getenv, slog.New(slog.NewJSONHandler(stderr, nil))); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// serveAPI takes orders.
func serveAPI(ctx context.Context, getenv func(string) string, log *slog.Logger) (err error) {
	db, err := openShop(ctx, getenv)
	if err != nil {
		return err
	}
	defer closing(&err, db.Close)
	return serve(ctx, or(getenv("ADDRESS"), "localhost:8080"), api.Handler(db, log), log)
}

// servePayments is the provider.
func servePayments(ctx context.Context, getenv func(string) string, log *slog.Logger) error {
	return serve(ctx, or(getenv("ADDRESS"), "localhost:8090"), new(payments.Provider), log)
}

// work charges orders, and runs the mover if the broker is not the database.
func work(ctx context.Context, getenv func(string) string, log *slog.Logger) (err error) {
	var lease time.Duration
	if v := getenv("LEASE"); v != "" {
		if lease, err = time.ParseDuration(v); err != nil {
			return fmt.Errorf("LEASE: %w", err)
		}
	}
	db, err := openShop(ctx, getenv)
	if err != nil {
		return err
	}
	defer closing(&err, db.Close)
	config := worker.Config{
		DB: db, Broker: db.Charges.Driver(), Lease: lease, Log: log,
		Payments: &payments.Client{URL: or(getenv("PAYMENTS_URL"), "http://localhost:8090"), HTTP: &http.Client{Timeout: 10 * time.Second}},
	}
	mover := func(context.Context) error { return nil }
	if url := getenv("BROKER_URL"); url != "" && url != getenv("DATABASE_URL") {
		broker, failure := batch.Open[batch.Importer](ctx, url)
		if failure != nil {
			return failure
		}
		defer closing(&err, broker.Close)
		config.Broker = broker
		mover = func(ctx context.Context) error { return worker.Move(ctx, db, broker, log) }
	}
	w, err := worker.New(ctx, config)
	if err != nil {
		return err
	}
	return both(ctx, w, mover, log)
}

// both runs the worker and the mover until ctx ends or one of them fails.
func both(ctx context.Context, w *batch.Worker, mover func(context.Context) error, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	moved := make(chan error, 1)
	go func() {
		err := mover(ctx)
		if err != nil {
			cancel()
		}
		moved <- err
	}()
	log.InfoContext(ctx, "running")
	err := w.Run(ctx)
	cancel()
	return errors.Join(err, <-moved)
}

// openShop opens the database that DATABASE_URL names.
func openShop(ctx context.Context, getenv func(string) string) (*shop.DB, error) {
	url := getenv("DATABASE_URL")
	if url == "" {
		return nil, errors.New("DATABASE_URL is not set: want one such as postgres://user:password@localhost/shop")
	}
	return shop.Open(ctx, url)
}

// serve answers until ctx ends, and then the requests that have begun.
func serve(ctx context.Context, address string, h http.Handler, log *slog.Logger) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "running", "address", listener.Addr().String())
	server := &http.Server{Handler: h, ReadTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

// closing closes something, also if the context of the process has ended, and adds what fails to the error.
func closing(err *error, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	*err = errors.Join(*err, end(ctx))
}

// or is a value, or what stands for it if it is empty.
func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
