package nats

import (
	"context"

	"github.com/nats-io/nuid"

	"github.com/batch-go/batch/internal/fault"
)

// commit stores entries in one atomic batch: all or none.
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
func (d *Driver) commit(ctx context.Context, n *names, entries []entry) error {
	select {
	case d.commits <- struct{}{}:
		defer func() { <-d.commits }()
	case <-ctx.Done():
		return fault.NotSent{Err: ctx.Err()}
	}
	// The first is answered too: why the batch as a whole was refused is said
	// there, and the last one's answer is then only that there is no such batch.
	r, err := d.conn.publications(entries, true)
	if err != nil {
		return err
	}
	if err := d.sendBatch(r, entries); err != nil {
		// Without its last message the server forgets the batch.
		r.fail(errLost)
		_ = r.wait(ctx) // it is over
		return err
	}
	several := len(r.answers) == 2
	if err := r.wait(ctx); err != nil {
		// The first answer may have come, and been a refusal.
		if m := r.answers[0]; several && m != nil && len(m.Data) > 0 {
			if _, refused := readAck(n, m); refused != nil {
				return refused
			}
		}
		return err
	}
	if m := r.answers[0]; several && (len(m.Data) > 0 || status(m) != "") {
		if _, err := readAck(n, m); err != nil {
			return d.whyUnanswered(ctx, n, err)
		}
	}
	_, err = readAck(n, r.answers[len(r.answers)-1])
	return d.whyUnanswered(ctx, n, err)
}

// sendBatch sends entries as one atomic batch; the first and the last are
// requests.
func (d *Driver) sendBatch(r *requests, entries []entry) error {
	last := len(entries) - 1
	id := nuid.Next()
	h := make(header, 0, 2*lineSpace)
	for i := range entries {
		e := &entries[i]
		h = e.header.open(h[:0]).line(natsBatchID, id).number(natsBatchSeq, int64(i+1))
		if i == last {
			h = h.line(natsBatchCommit, "1")
		}
		h = h.end()
		var err error
		switch {
		case i == 0 && last > 0:
			err = r.send(0, e.subject, h, e.data)
		case i == last:
			err = r.send(len(r.answers)-1, e.subject, h, e.data)
		default:
			err = r.tell(e.subject, h, e.data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isConflict tells that an atomic batch was refused because the last message of
// a subject is not the expected one, or is about to be written by another.
func isConflict(err error) bool { return isCode(err, codeWrongLastSequence, codeConflictInFlight) }
