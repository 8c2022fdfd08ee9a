package nats

import (
	"strconv"
	"time"

	"github.com/batch-go/batch/internal/wire"
)

// readNumber reads a whole number between bounds; it is 0 if it is none.
func readNumber(v string, low, high int64) (int64, bool) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < low || n > high {
		return 0, false
	}
	return n, true
}

// maxCount bounds every number of times: what was read beyond it is damaged, and what
// is counted stays below.
const maxCount = 1<<31 - 1

// addCounts adds numbers of times.
func addCounts(a, b int) int { return min(a+b, maxCount) }

// readCount reads a number of times.
func readCount(v string) (int, bool) {
	n, ok := readNumber(v, 0, maxCount)
	return int(n), ok
}

// readTime reads a time in Unix ms. Beyond its bounds no time can be told from a
// damaged one.
func readTime(v string) (time.Time, bool) {
	ms, ok := readNumber(v, wire.MinTime, wire.MaxTime)
	return time.UnixMilli(ms).UTC(), ok
}
