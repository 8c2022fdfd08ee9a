//go:build !windows && (!unix || solaris || illumos || aix)

package embedded

import (
	"errors"
	"os"
)

// lock cannot be had on this system, and without it two processes would write
// into each other's files.
func lock(string) (*os.File, error) {
	return nil, errors.New("files cannot be locked on this system")
}
