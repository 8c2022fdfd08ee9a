package postgres

import (
	"time"

	"github.com/batch-go/batch/driver"
)

// The limits of the driver.
const (
	// maxBody is far below the gigabyte that a field may have: a larger body takes the
	// memory of the server and of the worker several times over.
	maxBody    = 16 << 20
	maxHeaders = 64 << 10
	// maxBatch bounds what one transaction does, and how long it keeps others waiting.
	maxBatch = 1000

	minLease = time.Second
	maxLease = 24 * time.Hour
	// maxDelay bounds delays and retries. Times of the server reach much further.
	maxDelay = 10 * 366 * 24 * time.Hour

	minDedupWindow     = time.Second
	maxDedupWindow     = 366 * 24 * time.Hour
	defaultDedupWindow = 24 * time.Hour

	// maxCount bounds what is stored of a job's history.
	maxCount = 1 << 30
)

// limits are those of every server.
var limits = driver.Limits{
	MaxBody:       maxBody,
	MaxHeaders:    maxHeaders,
	EnqueueBatch:  maxBatch,
	EnqueueBytes:  2 * maxBody,
	Publishers:    2,
	ReceiveBatch:  maxBatch,
	Receivers:     1,
	SettleBatch:   maxBatch,
	ExtendBatch:   maxBatch,
	MinLease:      minLease,
	MaxLease:      maxLease,
	MaxRetryDelay: maxDelay,
}
