//go:build unix

package brokers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// A reaper is a process that removes a session's containers when the test binary is gone, however it
// went: a panic, a timeout and SIGKILL run no deferred function. It waits for the end of a pipe whose
// only writer is the test binary, which the kernel closes in every case.
type reaper struct {
	pipe    *os.File
	process *exec.Cmd
}

const reaperScript = `
cat >/dev/null
ids="$(docker ps --all --quiet --filter "label=$1")"
[ -z "$ids" ] || docker rm --force --volumes $ids
`

// startReaper returns a reaper for the containers with a label. Without a docker client there is none:
// what a killed run leaves then stays until the next sweep.
func startReaper(label, engine string) (*reaper, error) {
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, nil
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	process := exec.Command("sh", "-c", reaperScript, "reaper", label)
	process.Stdin = read
	process.Env = append(os.Environ(), "DOCKER_HOST="+engine)
	// Its own process group: the interrupt key and go test's timeout signal the whole group.
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = process.Start()
	if err := errors.Join(err, read.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start the reaper: %w", err), write.Close())
	}
	return &reaper{pipe: write, process: process}, nil
}

// stop ends the reaper after a last look for containers. It may be called on nil.
func (r *reaper) stop() error {
	if r == nil {
		return nil
	}
	return errors.Join(r.pipe.Close(), r.process.Wait())
}
