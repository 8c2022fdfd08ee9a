// Package gotime sets the time of day of the process that it is in, for tests of what a program does when its clock
// steps. It changes nothing else on the machine, and needs no rights. What the process asks the system for, such as the
// times of files, stays as it is.
package gotime

import "errors"

// ErrUnsupported says that it cannot be done on this system: only on Linux with x86-64, by kernels that do not seal the
// memory which they share with processes.
var ErrUnsupported = errors.New("the clock of a process cannot be set here")
