package main

import (
	"context"
	"errors"
	"time"
)

// awaitInterval is how often a condition is looked at again. Shorter only costs processor time while
// the server that is waited for needs it; longer adds to every start.
const awaitInterval = 25 * time.Millisecond

// errHopeless marks a condition that can no longer become true, so that waiting for it ends.
var errHopeless = errors.New("it will not become ready")

// await calls condition until it returns nil. When ctx ends first, or condition returns errHopeless,
// the error holds the condition's last one, which says what was still missing.
func await(ctx context.Context, condition func(context.Context) error) error {
	ticker := time.NewTicker(awaitInterval)
	defer ticker.Stop()
	for {
		err := condition(ctx)
		if err == nil || errors.Is(err, errHopeless) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-ticker.C:
		}
	}
}
