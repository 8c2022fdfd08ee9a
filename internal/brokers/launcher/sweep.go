package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/container"
)

// sweepAlone sweeps, and says how much there was.
func sweepAlone() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	e, err := connect()
	if err != nil {
		return err
	}
	swept, err := e.sweep(ctx)
	if swept > 0 {
		fmt.Printf("removed %d containers that killed runs had left\n", swept)
	}
	return errors.Join(err, e.disconnect())
}

// open is connect for a launcher that is about to start brokers: it also sweeps.
func open(ctx context.Context) (*engine, error) {
	e, err := connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if _, err := e.sweep(ctx); err != nil {
		return nil, errors.Join(err, e.disconnect())
	}
	return e, nil
}

// sweep removes the containers that earlier launchers left because they were killed, and returns how
// many. It leaves alone every container whose owner is alive, and every container that no launcher
// started.
func (e *engine) sweep(ctx context.Context) (int, error) {
	list, err := e.list(ctx, labelSession)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	var (
		swept int
		errs  []error
		now   = time.Now()
	)
	for _, c := range list {
		if !abandoned(c.Labels, time.Unix(c.Created, 0), now, e.owner, processStart) {
			continue
		}
		// A dead container is one whose removal another sweep has begun.
		if err := e.remove(ctx, c.ID); err != nil && c.State != container.StateDead {
			errs = append(errs, err)
			continue
		}
		swept++
	}
	return swept, errors.Join(errs...)
}
