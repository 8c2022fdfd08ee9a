package nats

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"
)

// names are the names of one queue's stream, consumers and subjects, as
// docs/wire-nats.md documents them. A queue is one stream, so that a message
// and its dedup key, or a dead letter and the job redriven from it, can be stored
// in one step: the server's atomic batches do not span streams.
type names struct {
	queue  string
	stream string
	root   string // prefix.queue.
	job    string // waiting and running jobs, all on this one subject
	// due is how many scheduled jobs were overdue when a consumer looked last.
	due atomic.Int64
}

// The consumers of a stream. Only that of the jobs is ever pulled from; the
// others are there because the server keeps their count of pending messages up
// to date, which makes counting O(1).
const (
	consumerJobs      = "jobs"
	consumerScheduled = "scheduled"
	consumerDead      = "dead"
)

// newNames makes the names of a queue.
func newNames(prefix, queue string) *names {
	root := prefix + "." + queue + "."
	return &names{queue: queue, stream: prefix + "-" + queue, root: root, job: root + "job"}
}

// later is the subject of a scheduled job. The server keeps one schedule for a
// subject, so each has its own; the time comes first, so that the sorted
// subjects are in the order of time without a look into the messages.
func (n *names) later(due time.Time, id string) string {
	return fmt.Sprintf("%s%015d.%s.%s", n.laterRoot(), due.UnixMilli(), token(id), nuid.Next())
}

// laterRoot is what the subjects of scheduled jobs begin with.
func (n *names) laterRoot() string { return n.root + "later." }

// allLater is the filter of all scheduled jobs.
func (n *names) allLater() string { return n.laterRoot() + ">" }

// laterOf is the filter of the scheduled job with an ID.
func (n *names) laterOf(id string) string { return n.laterRoot() + "*." + token(id) + ".*" }

// dueOf reads the time and the place in the order out of a subject of later.
func (n *names) dueOf(subject string) (due time.Time, place string, ok bool) {
	place, ok = strings.CutPrefix(subject, n.laterRoot())
	if !ok {
		return time.Time{}, "", false
	}
	ms, _, _ := strings.Cut(place, ".")
	due, ok = readTime(ms)
	return due, place, ok
}

// dead is the subject of a dead letter, which is its only message.
func (n *names) dead(id string) string { return n.root + "dead." + token(id) + "." + nuid.Next() }

// allDead is the filter of all dead letters.
func (n *names) allDead() string { return n.root + "dead.>" }

// deadOf is the filter of the dead letters with an ID.
func (n *names) deadOf(id string) string { return n.root + "dead." + token(id) + ".*" }

// key is the subject of a remembered dedup key, which is its only message.
func (n *names) key(key string) string { return n.root + "key." + token(key) }

// imported is the subject of a remembered import key, which is its only message. No dedup key has
// a space in it.
func (n *names) imported(key string) string { return n.key("import " + key) }

// held is the subject of the mark of an entry that was taken over.
func (n *names) held(seq uint64) string { return n.root + "held." + strconv.FormatUint(seq, 10) }

// allHeld is the filter of all marks.
func (n *names) allHeld() string { return n.root + "held.*" }

// allKeys is the filter of all remembered dedup keys.
func (n *names) allKeys() string { return n.root + "key.*" }

// token makes any bytes a token of a subject.
func token(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
