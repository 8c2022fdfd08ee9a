package nats

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

// Declare makes the queue's stream and its three consumers. What exists is
// compared with what would be made, and what differs in a way that matters is
// named in the error.
func (d *Driver) Declare(ctx context.Context, queue string) error {
	const op = "declare"
	if err := d.life.Begin(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer d.life.End()
	return fail(op, queue, d.declare(ctx, d.names(queue)))
}

// declare is Declare within a call. A stream that was there or was made, and of which the next
// answer knows nothing, is no error but a reason to begin anew: somebody deletes the queue at this
// time, or one server of a cluster is behind another.
func (d *Driver) declare(ctx context.Context, n *names) error {
	for {
		err := d.declareOnce(ctx, n)
		if !isCode(err, codeStreamNotFound) {
			return err
		}
		if err := d.conn.sleep(ctx, clusterPoll); err != nil {
			return err
		}
	}
}

// declareOnce makes what is missing of a queue.
func (d *Driver) declareOnce(ctx context.Context, n *names) error {
	info, err := d.findStream(ctx, n)
	made := isCode(err, codeStreamNotFound)
	if made {
		info, err = d.createStream(ctx, n)
	}
	if err != nil {
		return err
	}
	if _, err := d.compareAll(ctx, n, info, n.consumers(), made); err != nil {
		return err
	}
	if info.Cluster == nil {
		return nil
	}
	return d.awaitInterest(ctx, n)
}

// compare finds what somebody has changed in a queue that is there, and returns the
// consumers of the jobs and of those scheduled. The others lose no jobs, whatever was
// changed.
func (d *Driver) compare(ctx context.Context, n *names) (jobs, scheduled *consumerInfo, err error) {
	info, err := d.streamInfo(ctx, n)
	if err != nil {
		return nil, nil, err
	}
	all, err := d.compareAll(ctx, n, info, n.consumers()[:2], false)
	if err != nil {
		return nil, nil, err
	}
	return all[0], all[1], nil
}

// compareAll compares the stream and consumers of it with what would be made, makes those
// that are missing, and returns them. made says that the stream is new, and has none yet.
func (d *Driver) compareAll(ctx context.Context, n *names, info *streamInfo, want []consumerConfig, made bool) ([]*consumerInfo, error) {
	if err := n.compareStream(info, d.options.Replicas); err != nil {
		return nil, err
	}
	all, err := d.consumers(ctx, n, want, made)
	if err != nil {
		return nil, err
	}
	for i, got := range all {
		if err := n.compareConsumer(want[i], got); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// createStream makes the stream, or takes what somebody else made meanwhile.
func (d *Driver) createStream(ctx context.Context, n *names) (*streamInfo, error) {
	replicas := d.options.Replicas
	if replicas == 0 {
		replicas = 1
		if d.conn.nc().ConnectedClusterName() != "" {
			replicas = 3
		}
	}
	var info streamInfo
	err := d.conn.callAPI(ctx, d.apiRoot+"STREAM.CREATE."+n.stream, n.streamConfig(replicas), &info)
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

// awaitStream waits until a stream that was made is there.
func (d *Driver) awaitStream(ctx context.Context, n *names) (*streamInfo, error) {
	for {
		info, err := d.findStream(ctx, n)
		if !isCode(err, codeStreamNotFound) && !isUnanswered(err) {
			return info, err
		}
		if err := d.conn.sleep(ctx, clusterPoll); err != nil {
			return nil, err
		}
	}
}

// awaitInterest waits until the server that this process is connected to knows
// where the queue's messages go: in a cluster it hears of a new stream some time
// after the servers that made it. The message that asks names another stream, so
// that this one refuses it.
func (d *Driver) awaitInterest(ctx context.Context, n *names) error {
	for {
		answer, err := d.probe(ctx, n.job, newHeader("Nats-Expected-Stream", "-"), nil)
		switch {
		case err == context.DeadlineExceeded && ctx.Err() == nil:
			continue
		case err != nil:
			return err
		case answer != "503":
			return nil
		}
		if err := d.conn.sleep(ctx, clusterPoll); err != nil {
			return err
		}
	}
}

// DeleteQueue removes the stream with all that it holds.
func (d *Driver) DeleteQueue(ctx context.Context, queue string) error {
	const op = "delete queue"
	if err := d.life.Begin(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	before, err := d.streamInfo(ctx, n)
	if err == nil {
		err = d.conn.callAPI(ctx, d.apiRoot+"STREAM.DELETE."+n.stream, nil, nil)
	}
	if err == nil && d.conn.nc().ConnectedClusterName() != "" {
		err = d.awaitGone(ctx, n, before.Created)
	}
	if isCode(err, codeStreamNotFound) {
		return nil
	}
	return fail(op, queue, err)
}

// awaitGone waits until a stream that was deleted is gone: in a cluster it goes some time after that
// was agreed on, on one server after the other, so that one may know of it when another does not. Two
// looks in turn find none. Somebody may have made it again by then.
func (d *Driver) awaitGone(ctx context.Context, n *names, created time.Time) error {
	for gone := 0; gone < 2; {
		now, err := d.findStream(ctx, n)
		switch {
		case isCode(err, codeStreamNotFound):
			gone++
		case err != nil:
			return err
		case !now.Created.Equal(created):
			return nil
		default:
			gone = 0
		}
		if err := d.conn.sleep(ctx, clusterPoll); err != nil {
			return err
		}
	}
	return d.awaitNoPulls(ctx, n)
}

// awaitNoPulls waits until no server takes pulls of a queue that was deleted. The server that
// says that there is no stream is not the one that had it, which may hand out jobs for some milliseconds
// more. The pull that asks is none: a server that takes pulls refuses it. No answer, and none hands out.
func (d *Driver) awaitNoPulls(ctx context.Context, n *names) error {
	for look := range 7 {
		answer, err := d.probe(ctx, d.pullSubject(n), nil, []byte("-"))
		if err != nil || answer != "400" {
			return ctx.Err()
		}
		if err := d.conn.sleep(ctx, clusterPoll<<look); err != nil {
			return err
		}
	}
	return nil // somebody has made the queue again
}

// Depth counts the queue's jobs by what the server knows of the three
// consumers. Scheduled jobs become ready by themselves, so that none is due but on a
// server that had no room; see countDue.
func (d *Driver) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	const op = "depth"
	if err := d.life.Begin(ctx); err != nil {
		return driver.Depth{}, fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	all, err := d.consumers(ctx, n, n.consumers(), false)
	if err != nil {
		return driver.Depth{}, fail(op, queue, err)
	}
	jobs := all[0]
	waiting, age, err := d.waiting(ctx, n, jobs)
	if err != nil {
		return driver.Depth{}, fail(op, queue, err)
	}
	due, err := d.countDue(ctx, n, all[1])
	if err != nil {
		return driver.Depth{}, fail(op, queue, err)
	}
	return driver.Depth{Waiting: waiting, Running: max(jobs.NumAckPending, 0), Scheduled: all[1].pending(), Dead: all[2].pending(), Due: due, Age: age}, nil
}

// waiting is how many jobs wait, and how long the first of them has. Whatever becomes ready
// again does so as a new message. The server's count may stay one too high after messages came
// and went at once (seen of 2.15.2); so that a queue becomes empty, none is counted where
// a single server has no message.
func (d *Driver) waiting(ctx context.Context, n *names, jobs *consumerInfo) (int64, time.Duration, error) {
	if jobs.pending() == 0 {
		return 0, 0, nil
	}
	first, err := d.get(ctx, n, getRequest{Seq: jobs.Delivered.Stream + 1, Next: n.job})
	if err != nil {
		return 0, 0, err
	}
	if first == nil && d.conn.nc().ConnectedClusterName() != "" {
		return jobs.pending(), 0, nil // a server that is behind may have answered, which does not have it yet
	}
	if first == nil {
		return 0, 0, nil
	}
	return jobs.pending(), max(jobs.Time.Sub(first.Time), 0), nil // below zero, it came since
}

// ListQueues lists the queues of the driver's prefix: the streams that have the
// name and the subjects of one.
func (d *Driver) ListQueues(ctx context.Context) ([]string, error) {
	const op = "list queues"
	if err := d.life.Begin(ctx); err != nil {
		return nil, fail(op, "", err)
	}
	defer d.life.End()
	prefix := d.options.Prefix
	streams, err := d.streamNames(ctx, newNames(prefix, "*").job)
	if err != nil {
		return nil, fail(op, "", err)
	}
	var queues []string
	for _, stream := range streams {
		queue, ok := strings.CutPrefix(stream, prefix+"-")
		if !ok {
			continue
		}
		n := newNames(prefix, queue)
		info, err := d.findStream(ctx, n)
		if isCode(err, codeStreamNotFound) {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return nil, fail(op, "", err)
		}
		if slices.Sort(info.Config.Subjects); slices.Equal(info.Config.Subjects, n.subjects()) {
			queues = append(queues, queue)
		}
	}
	slices.Sort(queues)
	return queues, nil
}
