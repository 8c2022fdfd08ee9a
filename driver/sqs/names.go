package sqs

import (
	"errors"
	"fmt"
	"strings"
)

// maxName is how long SQS takes a name to be: 1 to 80 characters [A-Za-z0-9_-],
// the ".fifo" of a FIFO queue included:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
const maxName = 80

const (
	deadSuffix  = "-dead"
	retrySuffix = "-retry"
	fifoMark    = "-fifo"
	fifoSuffix  = ".fifo"
	// escapeSuffix ends the name of a queue that would otherwise look like
	// another queue's companion.
	escapeSuffix = "-jobs"
)

// names are what a queue's SQS queues are called.
type names struct {
	work string
	// retry is empty where delayed messages go back to work itself.
	retry string
	dead  string
}

// companions are the SQS queues beside that of the jobs.
func (n names) companions() []string {
	if n.retry == "" {
		return []string{n.dead}
	}
	return []string{n.retry, n.dead}
}

// all are the SQS queues of a queue, that of the jobs first.
func (n names) all() []string { return append([]string{n.work}, n.companions()...) }

// newNames finds the SQS names of a queue. No two queues share one, however alike
// they are called: "a" has its dead letters in "a-dead", so the queue "a-dead"
// lives in "a-dead-jobs", and "a-dead-jobs" in "a-dead-jobs-jobs".
func newNames(prefix, queue string, fifo bool) (names, error) {
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
	for _, name := range n.all() {
		if len(name) > maxName {
			return names{}, fmt.Errorf("the name %s has %d characters and SQS takes %d", name, len(name), maxName)
		}
	}
	return n, checkName(stem)
}

// queueIn is the inverse of newNames: the queue whose jobs are in the SQS queue of
// this name, and the names of that queue. The last result is false if there is no
// such queue: the name is a companion's, or one that newNames does not give.
func queueIn(prefix, work string, fifo bool) (string, names, bool) {
	stem, ok := strings.CutPrefix(work, prefix)
	if ok && fifo {
		stem, ok = strings.CutSuffix(stem, fifoSuffix)
	}
	if !ok {
		return "", names{}, false
	}
	for _, queue := range []string{stem, strings.TrimSuffix(stem, escapeSuffix)} {
		if n, err := newNames(prefix, queue, fifo); queue != "" && err == nil && n.work == work {
			return queue, n, true
		}
	}
	return "", names{}, false
}

// checkName refuses what SQS would refuse. The error does not repeat the name: a
// URL whose secret is not escaped has part of it where a name should be.
func checkName(s string) error {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return errors.New("the name has a character that is none of [A-Za-z0-9_-]")
		}
	}
	if s == "" {
		return errors.New("the name is empty")
	}
	return nil
}

// isFIFO tells whether the SQS queue at url is a FIFO queue: the URL ends with the
// queue's name, and only such a queue can have, and must have, a name that ends
// like this.
func isFIFO(url string) bool { return strings.HasSuffix(url, fifoSuffix) }

// destination says which of a queue's SQS queues a message is for.
type destination int

const (
	toWork destination = iota
	toRetry
	toDead
	// destinations is how many there are.
	destinations
)

// knownQueue is what is known of a queue that exists.
type knownQueue struct {
	// urls are those of its SQS queues. Delayed messages go to that of the jobs
	// itself, but for FIFO.
	urls [destinations]string
	// maxMessage is the largest message that all of them take, and maxRequest how many
	// bytes a request may have.
	maxMessage, maxRequest int
}

// sources are the URLs that jobs are received from.
func (q *knownQueue) sources() []string {
	if q.urls[toRetry] == q.urls[toWork] {
		return q.urls[toWork:toRetry:toRetry]
	}
	return q.urls[toWork:toDead:toDead]
}
