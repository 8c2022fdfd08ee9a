package redis

import (
	"time"

	"github.com/batch-go/batch/driver"
)

const (
	// maxBody: Redis takes 512 MiB (proto-max-bulk-len), but a body passes
	// through Lua and is copied there, and one command keeps all others waiting:
	// 16 MiB are some 10 ms.
	maxBody = 16 << 20
	// maxHeaders is what HTTP servers take; headers are for metadata.
	maxHeaders = 64 << 10
	// batchSize: at 3 µs for a job in a script, 1000 jobs keep the server for 3
	// to 5 ms. Half as many are no less efficient; its other clients would feel
	// ten times as many, and Lua's unpack ends near 8000.
	batchSize = 1000
	// maxDelay: the score of a sorted set is exact for milliseconds of 280 000
	// years; ten years are enough to tell a bug from a plan.
	maxDelay = 10 * 365 * 24 * time.Hour
	// minLease: recovery looks every quarter of a lease, and with shorter ones
	// would poll the server.
	minLease = 100 * time.Millisecond
	maxLease = 24 * time.Hour
)

// limits are those on a server that takes strings of maxBody.
var limits = driver.Limits{
	MaxBody:      maxBody,
	MaxHeaders:   maxHeaders,
	EnqueueBatch: batchSize,
	EnqueueBytes: maxBody + maxHeaders,
	// The server carries out one call while the next is on its way.
	Publishers:    2,
	ReceiveBatch:  batchSize,
	Receivers:     4,
	SettleBatch:   batchSize,
	ExtendBatch:   batchSize,
	MinLease:      minLease,
	MaxLease:      maxLease,
	MaxRetryDelay: maxDelay,
}

// limitsOf are the limits that all servers keep.
func limitsOf(servers []server) driver.Limits {
	l := limits
	for _, s := range servers {
		if s.maxBulk > 0 && s.maxBulk < l.MaxBody {
			l.MaxBody = s.maxBulk
			l.EnqueueBytes = l.MaxBody + l.MaxHeaders
		}
	}
	return l
}
