package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that a signal has ended.
type signalError struct{ signal os.Signal }

// Error names the signal.
func (e signalError) Error() string { return fmt.Sprintf("ended by a signal: %s", e.signal) }

// untilSignal is a context that the first Ctrl-C or SIGTERM ends, so that a command can say
// what it has done and clean up. The second one ends the process at once.
//
// Without SIGPIPE a write to a pipe that nobody reads is an error like others. The signal would
// end the process there, with a queue of bench or doctor on the broker.
func untilSignal() (context.Context, func()) {
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(signalError{s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}
