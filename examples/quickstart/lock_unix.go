//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the file for this process. The system gives it back when the process
// ends, however it does.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.New("in use by another quickstart with the same arguments, which may still run although go run was killed: end it, or name another file by -results")
	}
	return err
}
