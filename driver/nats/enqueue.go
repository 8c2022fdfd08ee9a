package nats

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// entry is a message on its way to the stream.
type entry struct {
	subject string
	header  natsgo.Header
	data    []byte
}

// fresh makes the entry of a job as it is enqueued or comes back: waiting, or
// scheduled if due is not zero.
func (n *names) entry(j *job, due time.Time, extra ...string) entry {
	if due.IsZero() {
		return entry{n.job, j.header(extra...), j.Body}
	}
	// The client library's own option for schedules rounds to seconds, down.
	extra = append(extra, natsSchedule, "@at "+due.UTC().Format(time.RFC3339Nano), natsTarget, n.job)
	return entry{n.later(due, j.ID), j.header(extra...), j.Body}
}

// Enqueue stores messages. Those with a dedup key are stored in atomic batches
// together with the keys.
func (d *Driver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	const op = "enqueue"
	if len(messages) == 0 {
		return nil
	}
	results := make([]driver.Result, len(messages))
	whole := func(err error) []driver.Result {
		for i := range results {
			results[i] = driver.Result{Err: err}
		}
		return results
	}
	if err := d.enter(ctx, op, queue); err != nil {
		return whole(err)
	}
	defer d.leave()
	n := d.names(queue)
	now, err := d.clockFor(ctx, n, messages)
	if err != nil {
		// Only a question was asked yet.
		err := fail(op, queue, d.missing(ctx, n, err)).(*driver.Error)
		err.Fate = driver.FateNotStored
		return whole(err)
	}
	plain, keyed := make([]int, 0, len(messages)), []int(nil)
	var failed bool
	for i, m := range messages {
		switch {
		case d.tooLarge(m) != nil:
			results[i].Err, failed = fail(op, queue, d.tooLarge(m)), true
		case m.DedupKey != "":
			keyed = append(keyed, i)
		default:
			plain = append(plain, i)
		}
	}
	if len(plain) > 0 {
		entries := make([]entry, len(plain))
		for k, i := range plain {
			entries[k] = n.fresh(messages[i], now)
		}
		for k, err := range d.store(ctx, n, entries) {
			if err != nil {
				results[plain[k]].Err, failed = fail(op, queue, err), true
			}
		}
	}
	if len(keyed) > 0 {
		d.enqueueKeyed(ctx, n, messages, keyed, now, results)
		failed = true // the results say what was a duplicate
	}
	if !failed {
		return nil
	}
	return results
}

// store stores the entries of one Enqueue.
func (d *Driver) store(ctx context.Context, n *names, entries []entry) []error {
	if !d.options.GroupCommit || len(entries) == 1 {
		_, errs := d.publish(ctx, n, entries)
		return errs
	}
	if err := d.commit(ctx, n, entries); err != nil {
		return all(len(entries), err)
	}
	return nil
}

// fresh is the entry of a job that is enqueued.
func (n *names) fresh(m *driver.Message, now time.Time) entry {
	j := job{Message: *m}
	if m.Delay <= 0 {
		return n.entry(&j, time.Time{})
	}
	return n.entry(&j, now.Add(m.Delay))
}

// clockFor is the server's time if one of the messages has a delay.
func (d *Driver) clockFor(ctx context.Context, n *names, messages []*driver.Message) (time.Time, error) {
	for _, m := range messages {
		if m.Delay > 0 {
			return d.serverNow(ctx, n)
		}
	}
	return time.Time{}, nil
}

// tooLarge refuses what the server would cut the connection for.
func (d *Driver) tooLarge(m *driver.Message) error {
	limits := d.info.Limits
	if len(m.Body) > limits.MaxBody || m.HeaderSize() > limits.MaxHeaders {
		return fmt.Errorf("%w: the body has %d bytes of %d, the headers %d of %d", natsgo.ErrMaxPayload,
			len(m.Body), limits.MaxBody, m.HeaderSize(), limits.MaxHeaders)
	}
	return nil
}

// publish stores entries and returns the server's answers and, if any failed,
// the errors.
func (d *Driver) publish(ctx context.Context, n *names, entries []entry) (acks []puback, errs []error) {
	f, err := d.link.fly(len(entries), n.root)
	if err != nil {
		return nil, all(len(entries), err)
	}
	note := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(entries))
		}
		errs[i] = err
	}
	for i := range entries {
		e := &entries[i]
		if err := f.ask(i, e.subject, e.header, e.data); err != nil {
			note(i, err)
		}
	}
	broken := f.wait(ctx)
	if isNobody(broken) {
		broken = d.missing(ctx, n, broken)
	}
	acks = make([]puback, len(entries))
	var nobody error
	for i, m := range f.answers {
		switch {
		case m == notSent:
		case m == nil:
			note(i, broken)
		default:
			ack, err := readAck(n, m)
			if isNobody(err) {
				if nobody == nil {
					nobody = d.missing(ctx, n, err)
				}
				err = nobody
			}
			if err != nil {
				note(i, err)
			}
			acks[i] = ack
		}
	}
	return acks, errs
}

// puback is the server's answer to a publish.
type puback struct {
	Stream    string    `json:"stream"`
	Seq       uint64    `json:"seq"`
	Duplicate bool      `json:"duplicate"`
	Error     *apiError `json:"error"`
}

// readAck reads the answer to a publish. It has a fast way for the form that
// the server writes (mset.pubAck in server/stream.go), as this is done once for
// each job.
func readAck(n *names, m *natsgo.Msg) (puback, error) {
	rest, ok := bytes.CutPrefix(m.Data, []byte(`{"stream":"`))
	if ok {
		if rest, ok = bytes.CutPrefix(rest, []byte(n.stream)); ok {
			if rest, ok = bytes.CutPrefix(rest, []byte(`","seq":`)); ok {
				if rest, ok = bytes.CutSuffix(rest, []byte("}")); ok {
					if seq, err := strconv.ParseUint(string(rest), 10, 64); err == nil {
						return puback{Seq: seq}, nil
					}
				}
			}
		}
	}
	var ack puback
	if err := readAnswer(n.root, m, &ack); err != nil {
		return ack, err
	}
	if ack.Stream != n.stream || ack.Seq == 0 {
		// Another stream listens on our subject.
		return ack, fmt.Errorf("%w: the stream %q answered", errAnswer, ack.Stream)
	}
	return ack, nil
}
