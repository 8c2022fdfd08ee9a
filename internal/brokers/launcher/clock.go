package main

import (
	"bytes"
	"context"
	_ "embed" // for clockSource
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// clockSource is the library that a server with a clock of its own runs with.
//
//go:embed clock/clock.c
var clockSource []byte

// clockLibrary is where the library is in the container.
const clockLibrary = "/batch-clock.so"

// buildClock compiles the library. The race detector needs a C compiler too.
func buildClock(ctx context.Context) ([]byte, error) {
	folder, err := os.MkdirTemp("", "batch-clock-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // a few kilobytes
	library := filepath.Join(folder, "clock.so")
	command := exec.CommandContext(ctx, "cc", "-x", "c", "-O2", "-shared", "-fPIC", "-nostdlib", "-fno-stack-protector", "-o", library, "-")
	command.Stdin = bytes.NewReader(clockSource)
	if output, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the clock: %w\n%s", err, output)
	}
	return os.ReadFile(library)
}

// addClock gives a server a time of day of its own.
func addClock(ctx context.Context, request *testcontainers.ContainerRequest) error {
	library, err := buildClock(ctx)
	if err != nil {
		return err
	}
	if request.Env == nil {
		request.Env = make(map[string]string)
	}
	request.Env["LD_PRELOAD"] = clockLibrary
	request.Files = append(request.Files,
		testcontainers.ContainerFile{Reader: bytes.NewReader(library), ContainerFilePath: clockLibrary, FileMode: 0o755},
		// The server's user sets it.
		testcontainers.ContainerFile{Reader: bytes.NewReader([]byte(launch.ClockText(0, 0))), ContainerFilePath: launch.ClockFile, FileMode: 0o666})
	return nil
}
