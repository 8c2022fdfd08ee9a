package brokers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// A launcher is the process that starts brokers for this one. It removes them when its standard input
// ends.
type launcher struct {
	process *exec.Cmd
	input   io.Closer
	client  *rpc.Client
	numbers atomic.Uint64 // of calls
}

// launcherFolder is where the launcher's module is, below the root of the repository.
var launcherFolder = filepath.Join("internal", "brokers", "launcher")

// startLauncher starts it from its sources. The go command builds it once and keeps it, for every test
// binary.
func startLauncher() (*launcher, error) {
	folder, err := findUp(launcherFolder)
	if err != nil {
		return nil, err
	}
	process := exec.Command("go", "run", ".")
	process.Dir = folder
	// It is built as its own go.mod says, and never with the flags of the tests, such as -race. The flag
	// here is the default: an empty variable would not win over what go env -w has set.
	process.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	process.Stderr = os.Stderr
	leaveGroup(process)
	input, err := process.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the launcher: %w", err)
	}
	output, err := process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the launcher: %w", err)
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("start the launcher: %w", err)
	}
	client := jsonrpc.NewClient(pipes{output, input})
	return &launcher{process: process, input: input, client: client}, nil
}

// pipes are this process's ends of those to the launcher.
type pipes struct {
	io.ReadCloser
	io.WriteCloser
}

// Close implements io.Closer.
func (p pipes) Close() error {
	return errors.Join(p.WriteCloser.Close(), p.ReadCloser.Close())
}

// stop ends the launcher and returns when all that it started is removed.
func (l *launcher) stop() error {
	if err := errors.Join(l.input.Close(), l.process.Wait()); err != nil {
		return fmt.Errorf("the launcher: %w", err)
	}
	return nil
}

// A numbered is the arguments of a call that can be cancelled.
type numbered interface{ SetNumber(uint64) }

// call calls a method of the launcher. It is cancelled when ctx ends.
func (l *launcher) call(ctx context.Context, method string, args numbered, result any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	number := l.numbers.Add(1)
	args.SetNumber(number)
	call := l.client.Go(launch.Service+"."+method, args, result, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		return explain(call.Error)
	case <-ctx.Done():
	}
	cancelled := l.client.Call(launch.Service+".Cancel", &launch.Call{Number: number}, &launch.Nothing{})
	<-call.Done
	if call.Error == nil {
		return nil
	}
	return errors.Join(ctx.Err(), explain(call.Error), explain(cancelled))
}

// explain adds to an error that is not the launcher's answer.
func explain(err error) error {
	if answer := rpc.ServerError(""); err == nil || errors.As(err, &answer) {
		return err
	}
	return fmt.Errorf("the launcher has ended, and its standard error says why: %w", err)
}

// findUp looks for a path in the working directory and those above it. Tests run in their package's
// directory, which may belong to a nested module, so the first go.mod is not the place to stop.
func findUp(path string) (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		candidate := filepath.Join(directory, path)
		if _, err := os.Stat(candidate); err == nil {
			return candidate, nil
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", fmt.Errorf("no %s in the working directory or above it", path)
		}
		directory = parent
	}
}
