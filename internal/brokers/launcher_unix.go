//go:build unix

package brokers

import (
	"os/exec"
	"syscall"
)

// leaveGroup gives a process a group of its own: the interrupt key and go test's timeout signal the
// whole group, and the launcher has still to remove what it started.
func leaveGroup(process *exec.Cmd) {
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
