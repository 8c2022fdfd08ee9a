//go:build !linux || !amd64

package gotime

import "time"

// Set is [ErrUnsupported] here.
func Set(time.Duration) error { return ErrUnsupported }
