//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/batch-go/batch/internal/brokers"
)

// doomed tells the test binary how to end, when it is run by the test below.
const doomed = "BATCH_TEST_DOOMED"

// ends are ways in which a test binary ends without a chance to remove its brokers.
var ends = map[string]func() error{
	"kill":      func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) },
	"interrupt": func() error { return syscall.Kill(0, syscall.SIGINT) }, // of the whole group, as by the key
	"exit":      func() error { os.Exit(1); return nil },
	// So does the timeout of go test end it.
	"panic": func() error { go panic("a panic on purpose"); return nil },
}

// busy is added to the way in which a test binary ends that has a call to its launcher under way.
const busy = " while starting a broker"

// The launcher is what removes containers when the test binary has no chance to: it is told by the end
// of a pipe.
func TestReaperRemovesWhatADeadProcessLeft(t *testing.T) {
	name, isBusy := strings.CutSuffix(os.Getenv(doomed), busy)
	if end, ok := ends[name]; ok {
		fmt.Println(brokers.NewRedis(t, brokers.Redis8).ID)
		if isBusy {
			go brokers.NewRedis(t, brokers.Redis8)
			<-time.After(50 * time.Millisecond) // in the middle of that
		}
		t.Log(end())
		<-t.Context().Done() // never, in a test that does not return
	}
	var names []string
	for name := range ends {
		names = append(names, name, name+busy)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			command := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestReaperRemovesWhatADeadProcessLeft$")
			command.Env = append(os.Environ(), doomed+"="+name)
			command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			// It returns when the launcher is gone too, which writes to the same standard error.
			output, err := command.Output()
			id, _, _ := strings.Cut(string(output), "\n")
			if err == nil || id == "" {
				t.Fatalf("the test binary ended with %v, after the container %q", err, id)
			}
			_, err = testEngine(t).docker().ContainerInspect(ctx, id, client.ContainerInspectOptions{})
			if !errdefs.IsNotFound(err) {
				t.Errorf("look for the container of a test binary that is gone: %v, want that there is none", err)
			}
		})
	}
}
