//go:build !linux

package fsyncs

import (
	"errors"
	"fmt"
)

// kind is nothing here.
type kind struct{}

// kinds says that there are none.
func kinds() ([]kind, error) {
	return nil, fmt.Errorf("fsyncs: only Linux counts them: %w", errors.ErrUnsupported)
}

// open is not called.
func open(kind, int) (event, error) { return nil, errors.ErrUnsupported }

// Own are the threads of this process, which are unknown here.
func Own() ([]int, error) { return nil, fmt.Errorf("fsyncs: %w", errors.ErrUnsupported) }
