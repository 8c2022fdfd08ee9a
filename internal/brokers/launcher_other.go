//go:build !unix

package brokers

import "os/exec"

// leaveGroup does nothing: there are no process groups on this system.
func leaveGroup(*exec.Cmd) {}
