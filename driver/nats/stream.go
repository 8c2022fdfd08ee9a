package nats

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

// streamConfig is the stream of a queue, as the API takes it.
type streamConfig struct {
	Name           string            `json:"name"`
	Description    string            `json:"description"`
	Subjects       []string          `json:"subjects"`
	Retention      string            `json:"retention"`
	Storage        string            `json:"storage"`
	Discard        string            `json:"discard"`
	Replicas       int               `json:"num_replicas"`
	FirstSeq       uint64            `json:"first_seq"`
	MaxConsumers   int               `json:"max_consumers"`
	MaxMsgs        int64             `json:"max_msgs"`
	MaxBytes       int64             `json:"max_bytes"`
	MaxMsgSize     int               `json:"max_msg_size"`
	Duplicates     time.Duration     `json:"duplicate_window"`
	AllowRollup    bool              `json:"allow_rollup_hdrs"`
	AllowDirect    bool              `json:"allow_direct"`
	AllowTTL       bool              `json:"allow_msg_ttl"`
	AllowAtomic    bool              `json:"allow_atomic"`
	AllowSchedules bool              `json:"allow_msg_schedules"`
	Metadata       map[string]string `json:"metadata"`
}

// settleWindow is how long the server remembers the message IDs of settlements,
// so that one that is tried again is stored once. An ID is that of the entry that is
// settled, which is there no longer than one lease and its retries.
const settleWindow = 2 * time.Minute

// streamConfig is the stream that a queue gets.
func (n *names) streamConfig(replicas int) streamConfig {
	return streamConfig{
		Name: n.stream, Description: "batch: queue " + n.queue,
		Subjects:  n.subjects(),
		Retention: "workqueue", Storage: "file", Discard: "old", Replicas: replicas,
		// The sequences of a queue that is deleted and made again must not be those
		// of its former life: a worker that still holds a job of that would settle
		// another one. A microsecond for each message is more than any server stores.
		FirstSeq:     uint64(time.Now().UnixMicro()),
		MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1,
		Duplicates:  settleWindow,
		AllowRollup: true, AllowDirect: true, AllowTTL: true, AllowAtomic: true, AllowSchedules: true,
		Metadata: map[string]string{"batch.queue": n.queue, "batch.format": "1"},
	}
}

// consumerConfig is a consumer of a queue, as the API takes it.
type consumerConfig struct {
	Durable       string        `json:"durable_name"`
	Description   string        `json:"description"`
	DeliverPolicy string        `json:"deliver_policy"`
	AckPolicy     string        `json:"ack_policy"`
	AckWait       time.Duration `json:"ack_wait"`
	MaxDeliver    int           `json:"max_deliver"`
	MaxAckPending int           `json:"max_ack_pending"`
	MaxWaiting    int           `json:"max_waiting"`
	FilterSubject string        `json:"filter_subject"`
	ReplayPolicy  string        `json:"replay_policy"`
}

// maxWaiting is how many Receive calls of all processes may wait at once;
// the server's own default is 512.
const maxWaiting = 16384

// consumers are the consumers of a queue, that of the jobs first.
func (n *names) consumers() []consumerConfig {
	base := consumerConfig{DeliverPolicy: "all", AckPolicy: "explicit", ReplayPolicy: "instant", AckWait: ackWait, MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: maxWaiting}
	jobs, scheduled, dead := base, base, base
	jobs.Durable, jobs.FilterSubject = consumerJobs, n.job
	jobs.Description = "batch: all workers of the queue pull from this consumer"
	scheduled.Durable, scheduled.FilterSubject = consumerScheduled, n.allLater()
	dead.Durable, dead.FilterSubject = consumerDead, n.allDead()
	for _, c := range []*consumerConfig{&scheduled, &dead} {
		c.Description = "batch: counts, nobody pulls from it"
		c.MaxWaiting = 1
	}
	return []consumerConfig{jobs, scheduled, dead}
}

// consumer is the consumer of a name.
func (n *names) consumer(name string) consumerConfig {
	all := n.consumers()
	return all[slices.IndexFunc(all, func(c consumerConfig) bool { return c.Durable == name })]
}

// subjects are the subjects of the stream, sorted.
func (n *names) subjects() []string {
	all := []string{n.job, n.allLater(), n.allDead(), n.allKeys(), n.allHeld()}
	slices.Sort(all)
	return all
}

// difference is one field that is not as it must be.
type difference struct {
	what, field string
	got, want   any
}

// Error says what there is, and what must be.
func (e *difference) Error() string {
	return fmt.Sprintf("%s exists with %s %v, and %v is needed", e.what, e.field, e.got, e.want)
}

// firstDifference is the conflict of the first field that differs.
func firstDifference(fields []difference) error {
	for _, f := range fields {
		if fmt.Sprint(f.got) != fmt.Sprint(f.want) {
			return faults.Refuse("declare", "", driver.ErrConflict, &f, "it was made by something else, or changed: use another prefix, or correct it")
		}
	}
	return nil
}

// compareStream compares what makes jobs safe. Description, placement,
// compression and the like are up to the operator of the server.
func (n *names) compareStream(info *streamInfo, replicas int) error {
	got := info.Config
	what := "stream " + n.stream
	slices.Sort(got.Subjects)
	fields := []difference{
		{what, "subjects", got.Subjects, n.subjects()},
		{what, "retention", got.Retention, "workqueue"},
		{what, "storage", got.Storage, "file"},
		// A stream with schedules cannot refuse what is over these limits, it would
		// drop the oldest jobs (error 10052 for discard new).
		{what, "max_msgs", max(got.MaxMsgs, -1), -1},
		{what, "max_bytes", max(got.MaxBytes, -1), -1},
		{what, "max_age", got.MaxAge, time.Duration(0)},
		{what, "max_msgs_per_subject", max(got.MaxPerSubject, -1), -1},
		{what, "max_msg_size", got.MaxMsgSize, -1},
		{what, "discard", got.Discard, "old"},
		// Retries of a settlement are stored once within this time.
		{what, "duplicate_window", got.Duplicates, max(got.Duplicates, settleWindow)},
		// What marks an expired message would be taken for a dedup key.
		{what, "subject_delete_marker_ttl", got.MarkerTTL, time.Duration(0)},
		// Asynchronous: the server would confirm what it has not written.
		{what, "persist_mode", cmp.Or(got.PersistMode, "default"), "default"},
		{what, "allow_msg_counter", got.AllowCounter, false},
		{what, "subject_transform", got.Transform, nil},
		{what, "mirror", got.Mirror, nil},
		{what, "sources", got.Sources, nil},
		{what, "sealed", got.Sealed, false},
		{what, "deny_delete", got.DenyDelete, false},
		{what, "deny_purge", got.DenyPurge, false},
		{what, "no_ack", got.NoAck, false},
		{what, "allow_rollup_hdrs", got.AllowRollup, true},
		{what, "allow_direct", got.AllowDirect, true},
		{what, "allow_msg_ttl", got.AllowTTL, true},
		{what, "allow_atomic", got.AllowAtomic, true},
		{what, "allow_msg_schedules", got.AllowSchedules, true},
	}
	if replicas != 0 {
		fields = append(fields, difference{what, "num_replicas", got.Replicas, replicas})
	}
	return firstDifference(fields)
}

// compareConsumer compares what makes deliveries safe.
func (n *names) compareConsumer(want consumerConfig, info *consumerInfo) error {
	got := info.Config
	what := "consumer " + want.Durable + " of stream " + n.stream
	return firstDifference([]difference{
		{what, "filter_subject", got.FilterSubject, want.FilterSubject},
		{what, "deliver_subject", got.DeliverTo, ""},
		{what, "ack_policy", got.AckPolicy, want.AckPolicy},
		{what, "ack_wait", got.AckWait, want.AckWait},
		{what, "max_deliver", got.MaxDeliver, want.MaxDeliver},
		{what, "headers_only", got.HeadersOnly, false},
		{what, "backoff", got.BackOff, []int64(nil)},
		{what, "filter_subjects", got.FilterMany, []string(nil)},
		{what, "replay_policy", got.Replay, want.ReplayPolicy},
		// The server would remove it, and forget what was handed out, when nobody asks for
		// so long.
		{what, "inactive_threshold", got.Inactive, time.Duration(0)},
		{what, "mem_storage", got.MemoryStorage, false},
	})
}
