// Package table is what the idempotency stores on databases share: how keys are named, what PostgreSQL is asked, and when a call is tried again.
package table

import (
	"crypto/sha256"
	"errors"
	"time"
)

const (
	// DefaultName is the name of the table if the application chooses none.
	DefaultName = "batch_idempotency"
	// wholeKey is the longest key that is stored as it is.
	wholeKey = 255
	// MaxKey is the longest that Key returns, for the width of a column.
	MaxKey = 256
)

// Key is what a store has of a key: the key, or of one longer than 255 bytes its first
// 224 and the SHA-256 of all. That is longer than any key that is stored as it is, so
// that no two keys are taken for one.
func Key(key string) ([]byte, error) {
	switch {
	case key == "":
		return nil, errors.New("the key is empty")
	case len(key) <= wholeKey:
		return []byte(key), nil
	}
	sum := sha256.Sum256([]byte(key))
	return append([]byte(key[:MaxKey-len(sum)]), sum[:]...), nil
}

// Micros is a duration in microseconds, rounded up: what is to last must not end
// early. A duration that is not positive is an error.
func Micros(d time.Duration) (int64, error) {
	if d <= 0 {
		return 0, errors.New("the duration " + d.String() + " is not positive")
	}
	n := d / time.Microsecond
	if d%time.Microsecond > 0 {
		n++
	}
	return int64(n), nil
}
