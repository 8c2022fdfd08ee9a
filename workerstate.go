package batch

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// WorkerStateHook is called once for each [WorkerState] that a worker enters, in the
// order of the constants.
type WorkerStateHook interface {
	OnWorkerState(ctx context.Context, s WorkerStatus)
}

// WorkerStatus is a worker that has entered a state.
type WorkerStatus struct {
	State WorkerState
	// Broker is the driver and the broker that it is connected to.
	Broker driver.Info
	// Queues are the worker's, with the defaults filled in. Where Prefetch is fixed,
	// MaxPrefetch is the same number, and both are zero for NoPrefetch. Where the worker
	// adapts, Prefetch is zero and MaxPrefetch is not.
	Queues []WorkerQueue
	// GivenBack is how many jobs were given back because the worker stopped, started
	// or not. Zero before WorkerStopped.
	GivenBack int
}

// WorkerState is a stage in a worker's life.
type WorkerState uint8

const (
	// WorkerRunning: queues are declared and jobs are received.
	WorkerRunning WorkerState = iota + 1
	// WorkerDraining: no more jobs are received; running ones may finish.
	WorkerDraining
	// WorkerStopped: every job is settled or given back.
	WorkerStopped
)

// String is the state's name in lower case.
func (s WorkerState) String() string {
	switch s {
	case WorkerRunning:
		return "running"
	case WorkerDraining:
		return "draining"
	case WorkerStopped:
		return "stopped"
	}
	return "invalid"
}
