package memory

import (
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// Options are the bounds of a [Broker]. A zero field has its default.
type Options struct {
	// MaxBytes bounds the bytes that all jobs of the broker take together:
	// waiting, scheduled, running and dead. A job counts as its body, its headers
	// and 64 bytes for each of them, and 768 bytes more. A remembered dedup key
	// counts as itself, the ID of its job, and 160 bytes more. What does not fit
	// is refused with driver.ErrFull. At least 1 MiB. Defaults to 1 GiB, which is
	// enough for a million jobs of 300 bytes.
	MaxBytes int64
	// MaxJobs bounds the number of all jobs of the broker in the same way. At
	// least 1. Defaults to 10 million.
	MaxJobs int
	// DedupWindow is how long a dedup key is remembered, between a second and
	// 30 days. A longer window finds later duplicates, and its keys take more
	// memory. Defaults to 24 hours.
	DedupWindow time.Duration
}

const (
	minMaxBytes     = 1 << 20
	defaultMaxBytes = 1 << 30
	defaultMaxJobs  = 10_000_000

	minDedupWindow     = time.Second
	maxDedupWindow     = 30 * 24 * time.Hour
	defaultDedupWindow = 24 * time.Hour
)

// The limits of the driver.
const (
	// maxBody is a protection against mistakes: a larger body works as well, but
	// is no job. It is less where MaxBytes is.
	maxBody = 64 << 20
	// maxHeaders is ample for 100 headers of tracing and routing; what is larger
	// belongs in the body.
	maxHeaders = 64 << 10
	// maxBatch bounds what one call does under its queue's lock: a thousand jobs
	// hold it for about a fifth of a millisecond. Larger batches gain nothing,
	// because the lock's cost has vanished at 64.
	maxBatch = 1000
	// minLease is far above the scheduler's delays, so that a lease that is
	// extended at a third of its time holds.
	minLease = 10 * time.Millisecond
	maxLease = 24 * time.Hour
	// maxDelay bounds delays and retries. Clocks of 64 bits carry 292 years.
	maxDelay = 10 * 366 * 24 * time.Hour
)

// limits are those of a broker with these options.
func (o Options) limits() driver.Limits {
	// One message of the largest size fits in an empty broker.
	body := int(min(maxBody, o.MaxBytes-maxHeaders-jobOverhead-100*headerOverhead))
	return driver.Limits{
		MaxBody:       body,
		MaxHeaders:    maxHeaders,
		EnqueueBatch:  maxBatch,
		EnqueueBytes:  body + maxHeaders,
		Publishers:    1,
		ReceiveBatch:  maxBatch,
		Receivers:     1,
		SettleBatch:   maxBatch,
		ExtendBatch:   maxBatch,
		MinLease:      minLease,
		MaxLease:      maxLease,
		MaxRetryDelay: maxDelay,
	}
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxJobs == 0 {
		o.MaxJobs = defaultMaxJobs
	}
	if o.DedupWindow == 0 {
		o.DedupWindow = defaultDedupWindow
	}
	return o
}

// validate is nil, or says which option is out of its bounds.
func (o Options) validate() error {
	switch {
	case o.MaxBytes < minMaxBytes:
		return fmt.Errorf("MaxBytes is %d, which is less than %d", o.MaxBytes, minMaxBytes)
	case o.MaxJobs < 1:
		return fmt.Errorf("MaxJobs is %d, which is less than 1", o.MaxJobs)
	case o.DedupWindow < minDedupWindow || o.DedupWindow > maxDedupWindow:
		return fmt.Errorf("DedupWindow is %s, which is not from %s to %s", o.DedupWindow, minDedupWindow, maxDedupWindow)
	}
	return nil
}

// agree is nil if every option that is given is the same in other.
func (o Options) agree(other Options) error {
	switch {
	case o.MaxBytes != 0 && o.MaxBytes != other.MaxBytes:
		return fmt.Errorf("the broker has max_bytes=%d", other.MaxBytes)
	case o.MaxJobs != 0 && o.MaxJobs != other.MaxJobs:
		return fmt.Errorf("the broker has max_jobs=%d", other.MaxJobs)
	case o.DedupWindow != 0 && o.DedupWindow != other.DedupWindow:
		return fmt.Errorf("the broker has dedup_window=%s", other.DedupWindow)
	}
	return nil
}
