package nats

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

func jitter(d time.Duration) time.Duration { return rand.N(d) }

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

// maxWaiting is how many Receive calls of all processes may wait at one time;
// the server's own default is 512.
const maxWaiting = 16384

// settleWindow is how long the server remembers the message IDs of settlements,
// so that one that is tried again is stored once. The ID is that of the entry
// settled, which is there no longer than one lease and its retries.
const settleWindow = 2 * time.Minute

// wanted are the consumers of a queue, that of the jobs first.
func (n *names) wanted() []consumerConfig {
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

// stream asks for the stream of a queue.
func (d *Driver) stream(ctx context.Context, n *names) (*streamInfo, error) {
	var info streamInfo
	if err := d.look(ctx, d.apiRoot+"STREAM.INFO."+n.stream, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// timed is an answer that carries the server's time.
type timed interface{ serverTime() time.Time }

func (i *streamInfo) serverTime() time.Time   { return i.Time }
func (i *consumerInfo) serverTime() time.Time { return i.Time }

// lookAgain is after how long a look is repeated that nobody answered.
const lookAgain = 500 * time.Millisecond

// look makes a request of the API that changes nothing. In a cluster nobody may
// answer it while the stream or its leader comes or goes, so it is asked again
// until ctx ends; everything else is asked once.
func (d *Driver) look(ctx context.Context, subject string, answer timed) error {
	for {
		once, cancel := context.WithTimeout(ctx, lookAgain)
		asked := time.Now()
		err := d.link.api(once, subject, nil, answer)
		cancel()
		if err == nil {
			d.clock.observe(asked, answer.serverTime())
		}
		if err != context.DeadlineExceeded || ctx.Err() != nil {
			return err
		}
	}
}

// consumerInfo asks for a consumer of a queue.
func (d *Driver) consumerInfo(ctx context.Context, n *names, name string) (*consumerInfo, error) {
	var info consumerInfo
	if err := d.look(ctx, d.apiRoot+"CONSUMER.INFO."+n.stream+"."+name, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// Declare makes the queue's stream and its three consumers. What exists is
// compared with what would be made, and what differs in a way that matters is
// named in the error.
func (d *Driver) Declare(ctx context.Context, queue string) error {
	const op = "declare"
	if err := d.enter(ctx, op, queue); err != nil {
		return err
	}
	defer d.leave()
	return fail(op, queue, d.declare(ctx, d.names(queue)))
}

func (d *Driver) declare(ctx context.Context, n *names) error {
	info, err := d.stream(ctx, n)
	if isCode(err, codeStreamNotFound) {
		info, err = d.makeStream(ctx, n)
	}
	if err != nil {
		return err
	}
	if err := n.compareStream(info, d.options.Replicas); err != nil {
		return err
	}
	for _, want := range n.wanted() {
		got, err := d.consumerInfo(ctx, n, want.Durable)
		if isCode(err, codeConsumerNotFound) {
			got, err = d.makeConsumer(ctx, n, want)
		}
		if err != nil {
			return err
		}
		if err := n.compareConsumer(want, got); err != nil {
			return err
		}
	}
	if info.Cluster == nil {
		return nil
	}
	return d.awaitInterest(ctx, n)
}

// awaitInterest waits until the server that this process is connected to knows
// who takes the queue's messages: in a cluster it hears of a new stream some time
// after those who made it. The message that asks is for another stream, and so
// refused by this one.
func (d *Driver) awaitInterest(ctx context.Context, n *names) error {
	for {
		f, err := d.link.fly(1, n.root)
		if err != nil {
			return err
		}
		_ = f.ask(0, n.job, natsgo.Header{"Nats-Expected-Stream": {"-"}}, nil)
		once, cancel := context.WithTimeout(ctx, lookAgain)
		err = f.wait(once)
		cancel()
		switch m := f.answers[0]; {
		case err == context.DeadlineExceeded && ctx.Err() == nil:
			continue
		case err != nil:
			return err
		case m == notSent || status(m) != "503":
			return nil
		}
		if err := wait(ctx, settleStep); err != nil {
			return err
		}
	}
}

// makeStream makes the stream, or takes what somebody else made meanwhile.
func (d *Driver) makeStream(ctx context.Context, n *names) (*streamInfo, error) {
	replicas := d.options.Replicas
	if replicas == 0 {
		replicas = 1
		if d.nc.ConnectedClusterName() != "" {
			replicas = 3
		}
	}
	config := streamConfig{
		Name: n.stream, Description: "batch: queue " + n.queue,
		Subjects:  []string{n.job, n.allLater(), n.allDead(), n.root + "key.*"},
		Retention: "workqueue", Storage: "file", Discard: "old", Replicas: replicas,
		// The sequences of a queue that is deleted and made again must not be those
		// of its former life: who still holds a job of that would settle another
		// one. A microsecond for each message is more than any server stores.
		FirstSeq:     uint64(time.Now().UnixMicro()),
		MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1,
		Duplicates:  settleWindow,
		AllowRollup: true, AllowDirect: true, AllowTTL: true, AllowAtomic: true, AllowSchedules: true,
		Metadata: map[string]string{"batch.queue": n.queue, "batch.format": "1"},
	}
	var info streamInfo
	err := d.link.api(ctx, d.apiRoot+"STREAM.CREATE."+n.stream, config, &info)
	if isCode(err, codeStreamExists) {
		// Others made it in this moment, with their own first sequence. In a cluster
		// that is known before the stream is there.
		return d.awaitStream(ctx, n)
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// settleStep is how long is waited between looks at something that the servers
// of a cluster have agreed on and not done yet.
const settleStep = 10 * time.Millisecond

// awaitStream waits until a stream that was made is there.
func (d *Driver) awaitStream(ctx context.Context, n *names) (*streamInfo, error) {
	for {
		info, err := d.stream(ctx, n)
		if !isCode(err, codeStreamNotFound) && !isNobody(err) {
			return info, err
		}
		if err := wait(ctx, settleStep); err != nil {
			return nil, err
		}
	}
}

func (d *Driver) makeConsumer(ctx context.Context, n *names, config consumerConfig) (*consumerInfo, error) {
	request := struct {
		Stream string         `json:"stream_name"`
		Config consumerConfig `json:"config"`
		Action string         `json:"action"`
	}{n.stream, config, "create"}
	var info consumerInfo
	err := d.link.api(ctx, d.apiRoot+"CONSUMER.CREATE."+n.stream+"."+config.Durable+"."+config.FilterSubject, request, &info)
	if isCode(err, codeConsumerExists) {
		return d.consumerInfo(ctx, n, config.Durable)
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// difference is one field that is not as it must be.
type difference struct {
	what, field string
	got, want   any
}

func (e *difference) Error() string {
	return fmt.Sprintf("%s exists with %s %v, and %v is needed", e.what, e.field, e.got, e.want)
}

func firstDifference(fields []difference) error {
	for _, f := range fields {
		if fmt.Sprint(f.got) != fmt.Sprint(f.want) {
			return &driver.Error{Driver: Name, Op: "declare", Kind: driver.ErrConflict, Fate: driver.FateNotStored, Err: &f,
				Hint: "it was made by something else, or changed: use another prefix, or correct it"}
		}
	}
	return nil
}

// compareStream compares what makes jobs safe. Description, placement,
// compression and the like are whoever's who runs the server.
func (n *names) compareStream(info *streamInfo, replicas int) error {
	got := info.Config
	what := "stream " + n.stream
	slices.Sort(got.Subjects)
	want := []string{n.allDead(), n.job, n.root + "key.*", n.allLater()}
	slices.Sort(want)
	fields := []difference{
		{what, "subjects", got.Subjects, want},
		{what, "retention", got.Retention, "workqueue"},
		{what, "storage", got.Storage, "file"},
		// A stream with schedules cannot refuse what is over these limits, it would
		// drop the oldest jobs (error 10052 for discard new).
		{what, "max_msgs", max(got.MaxMsgs, -1), -1},
		{what, "max_bytes", max(got.MaxBytes, -1), -1},
		{what, "max_age", got.MaxAge, time.Duration(0)},
		{what, "max_msgs_per_subject", max(got.MaxPerSubject, -1), -1},
		{what, "max_msg_size", got.MaxMsgSize, -1},
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
	})
}

// DeleteQueue removes the stream with all that it holds.
func (d *Driver) DeleteQueue(ctx context.Context, queue string) error {
	const op = "delete queue"
	if err := d.enter(ctx, op, queue); err != nil {
		return err
	}
	defer d.leave()
	n := d.names(queue)
	before, err := d.stream(ctx, n)
	if err == nil {
		err = d.link.api(ctx, d.apiRoot+"STREAM.DELETE."+n.stream, nil, nil)
	}
	for err == nil && d.nc.ConnectedClusterName() != "" {
		// In a cluster it goes some time after that was agreed on, and somebody may
		// have made it again by then.
		var now *streamInfo
		if now, err = d.stream(ctx, n); err == nil {
			if !now.Created.Equal(before.Created) {
				return nil
			}
			err = wait(ctx, settleStep)
		}
	}
	if isCode(err, codeStreamNotFound) {
		return nil
	}
	return fail(op, queue, err)
}

// missing finds out why nobody took a message or pull: because the queue does
// not exist, or because its servers are not ready.
func (d *Driver) missing(ctx context.Context, n *names, err error) error {
	if !isNobody(err) {
		return err
	}
	for look := range 6 {
		info, again := d.consumerInfo(ctx, n, consumerJobs)
		if isCode(again, codeStreamNotFound, codeConsumerNotFound) {
			return errNoQueue
		}
		if again != nil || info.Cluster == nil {
			return err
		}
		// The servers of a cluster learn of a deletion one after the other: the one
		// that answers may not know yet what the one that had the queue does.
		if wait(ctx, 20*time.Millisecond<<look) != nil {
			break
		}
	}
	return err
}

// Depth counts the queue's jobs by what the server knows of the three
// consumers.
func (d *Driver) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	const op = "depth"
	if err := d.enter(ctx, op, queue); err != nil {
		return driver.Depth{}, err
	}
	defer d.leave()
	n := d.names(queue)
	var all [3]*consumerInfo
	for i, name := range []string{consumerJobs, consumerScheduled, consumerDead} {
		info, err := d.consumerInfo(ctx, n, name)
		if err != nil {
			return driver.Depth{}, fail(op, queue, err)
		}
		all[i] = info
	}
	return driver.Depth{Waiting: all[0].NumPending, Running: all[0].NumAckPending, Scheduled: all[1].NumPending, Dead: all[2].NumPending}, nil
}
