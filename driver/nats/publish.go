package nats

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/internal/fault"
)

// publish stores entries, each on its own, and returns the server's answers and,
// if any failed, the errors.
func (d *Driver) publish(ctx context.Context, n *names, entries []entry) (acks []puback, errs []error) {
	r, err := d.conn.publications(entries, false)
	if err != nil {
		return nil, fault.All(len(entries), err)
	}
	return d.publishAs(ctx, n, r)
}

// publishAs is publish as publications that were begun.
func (d *Driver) publishAs(ctx context.Context, n *names, r *requests) (acks []puback, errs []error) {
	entries := r.entries
	for i := range entries {
		e := &entries[i]
		if err := r.send(i, e.subject, e.header, e.data); err != nil {
			errs = fault.Set(errs, len(entries), i, err)
		}
	}
	broken := d.whyUnanswered(ctx, n, r.wait(ctx))
	acks = make([]puback, len(entries))
	var unanswered error
	for i, m := range r.answers {
		switch {
		case m == unsent:
		case m == refused:
			errs = fault.Set(errs, len(entries), i, r.refusal)
		case m == nil:
			errs = fault.Set(errs, len(entries), i, broken)
		default:
			ack, err := readAck(n, m)
			if isUnanswered(err) {
				if unanswered == nil {
					unanswered = d.whyUnanswered(ctx, n, err)
				}
				err = unanswered
			}
			if err != nil {
				errs = fault.Set(errs, len(entries), i, err)
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

// readAck reads the answer to a publish. It has a fast path for the form that
// the server writes (mset.pubAck in server/stream.go), as this is done once for
// each job.
func readAck(n *names, m *natsgo.Msg) (puback, error) {
	rest, ok := bytes.CutPrefix(m.Data, []byte(`{"stream":"`))
	if ok {
		if rest, ok = bytes.CutPrefix(rest, []byte(n.stream)); ok {
			if rest, ok = bytes.CutPrefix(rest, []byte(`","seq":`)); ok {
				if rest, ok = bytes.CutSuffix(rest, []byte("}")); ok {
					if seq, err := strconv.ParseUint(string(rest), 10, 64); err == nil && seq > 0 {
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
