package main

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/batch-go/batch/examples/service/config"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/examples/service/telemetry"
)

// run runs a role until ctx ends, and then ends things in the opposite order of their beginning: first no more requests,
// ticks and jobs are taken, and what has begun ends; then the connection to the broker is closed; then the last traces
// are sent; and probes are answered to the very end. It returns nil if all that went well.
func run(ctx context.Context, role string, c config.Config, stderr io.Writer) (err error) {
	ops, err := listenOps(ctx, c.OpsAddress)
	if err != nil {
		return err
	}
	defer ops.close()

	about, err := telemetry.New(ctx, "shop-"+role, c, stderr)
	if err != nil {
		return err
	}
	defer func() { // a collector that is away is no failure of the service
		var lost error
		if closing(&lost, about.Close); lost != nil {
			about.Log.Warn("the last traces are lost", "err", lost)
		}
	}()

	patient, cancel := context.WithTimeout(ctx, c.BrokerPatience)
	broker, err := jobs.Open(patient, c.BatchURL, about.Log)
	if cancel(); err != nil {
		return err
	}
	defer closing(&err, broker.Close)

	hooks, err := about.Hooks(broker)
	if err != nil {
		return err
	}
	s := &service{config: c, telemetry: about, broker: broker, hooks: hooks, ops: ops}
	var parts []part
	for _, newPart := range roles[role] {
		p, err := newPart(s)
		if err != nil {
			return err
		}
		parts = append(parts, p)
	}
	group, ctx := errgroup.WithContext(ctx) // the first part that fails ends the others
	for _, p := range parts {
		group.Go(func() error { return p(ctx) })
	}
	ops.serve(ctx, about)
	about.Log.InfoContext(ctx, "running", "role", role, "broker", broker.Info().Broker, "ops", ops.address())
	err = group.Wait()
	about.Log.InfoContext(ctx, "stopped", "role", role, "err", err)
	return err
}

// closing closes something, also if the context of the process has ended, and adds what fails to the error.
func closing(err *error, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), config.CloseTimeout)
	defer cancel()
	*err = errors.Join(*err, end(ctx))
}
