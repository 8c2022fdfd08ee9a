package sqs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/batch-go/batch/driver"
)

// SQS takes names of 1 to 80 characters [A-Za-z0-9_-], the ".fifo" of a FIFO
// queue included:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
const maxName = 80

const (
	deadSuffix  = "-dead"
	retrySuffix = "-retry"
	fifoMark    = "-fifo"
	fifoSuffix  = ".fifo"
	// escapeSuffix ends the name of a queue that would else look like another
	// queue's companion.
	escapeSuffix = "-jobs"
)

// names are what a queue's SQS queues are called.
type names struct {
	work string
	// retry is empty where delayed messages go back to work itself.
	retry string
	dead  string
}

// name finds the SQS names of a queue. No two queues share one, however alike
// they are called: "a" has its dead letters in "a-dead", so the queue "a-dead"
// lives in "a-dead-jobs", and "a-dead-jobs" in "a-dead-jobs-jobs".
func name(prefix, queue string, fifo bool) (names, error) {
	stem := prefix + queue
	for _, suffix := range []string{deadSuffix, retrySuffix, fifoMark, escapeSuffix} {
		if strings.HasSuffix(queue, suffix) {
			stem += escapeSuffix
			break
		}
	}
	n := names{work: stem, dead: stem + deadSuffix}
	if fifo {
		n = names{work: stem + fifoSuffix, retry: stem + fifoMark + retrySuffix, dead: stem + fifoMark + deadSuffix}
	}
	for _, full := range []string{n.work, n.retry, n.dead} {
		if len(full) > maxName {
			return names{}, fmt.Errorf("the name %s has %d characters and SQS takes %d", full, len(full), maxName)
		}
	}
	return n, checkName(stem)
}

// checkName refuses what SQS would refuse.
func checkName(s string) error {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return fmt.Errorf("the name %q has a character that is none of [A-Za-z0-9_-]", s)
		}
	}
	if s == "" {
		return errors.New("the name is empty")
	}
	return nil
}

// names is name as a driver error.
func (b *base) names(op, queue string) (names, error) {
	n, err := name(b.config.prefix, queue, b.config.fifo)
	if err != nil {
		return names{}, &driver.Error{Driver: b.info.Driver, Op: op, Queue: queue, Kind: driver.ErrConfig, Fate: driver.FateNotStored,
			Err: err, Hint: "shorten the queue's name or the URL's prefix"}
	}
	return n, nil
}
