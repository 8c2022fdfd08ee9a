package nats

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// found is a message as a scan finds it.
type found struct {
	job
	subject string
	seq     uint64
	isJob   bool
	due     time.Duration // see bootDue; 0 if that does not say
}

// newFound reads a message as the API returns it.
func newFound(m *stored) *found {
	h, err := natsgo.DecodeHeadersMsg(m.Header)
	if err != nil {
		h = nil
	}
	return readFound(m.Subject, m.Seq, h, m.Data)
}

// readFound reads a message.
func readFound(subject string, seq uint64, h natsgo.Header, data []byte) *found {
	f := &found{subject: subject, seq: seq}
	f.isJob = f.read(h, data)
	f.due, _ = bootDue(h)
	return f
}

// scanBytes bounds what one request of a scan brings, so that a page of large
// jobs does not fill what the server keeps for a slow client.
const scanBytes = 8 << 20

// scan reads messages of a filter in the order of the stream, from a sequence
// on, size at a time, and gives each to take until that says that it has enough.
func (d *Driver) scan(ctx context.Context, n *names, filter string, from uint64, size int, take func(*found) (more bool)) error {
	info, err := d.streamInfo(ctx, n)
	if err != nil {
		return err
	}
	read := d.readDirect
	if info.Config.Replicas > 1 {
		// Any replica answers direct reads, and one that lags behind would show
		// messages that are gone and miss new ones. The leader reads one by one.
		read = d.readLeader
	}
	for {
		page, more, err := read(ctx, n, filter, from, size)
		if err != nil {
			return err
		}
		for _, f := range page {
			if !take(f) {
				return nil
			}
			from = f.seq + 1
		}
		if !more || len(page) == 0 {
			return nil
		}
	}
}

// readDirect reads some messages at once (ADR-31).
func (d *Driver) readDirect(ctx context.Context, n *names, filter string, from uint64, size int) (list []*found, more bool, err error) {
	subject := d.apiRoot + "DIRECT.GET." + n.stream
	r, err := d.conn.requests(0, subject)
	if err != nil {
		return nil, false, err
	}
	data, err := json.Marshal(getRequest{Seq: max(from, 1), Next: filter, Batch: size, MaxBytes: scanBytes})
	if err == nil {
		err = r.sendForMany(subject, data)
	}
	if err != nil {
		r.fail(err)
	}
	if err := r.wait(ctx); err != nil {
		return nil, false, err
	}
	last := len(r.answers) - 1
	for _, m := range r.answers[:last] {
		seq, err := strconv.ParseUint(m.Header.Get(natsSequence), 10, 64)
		if err != nil {
			return nil, false, errAnswer
		}
		list = append(list, readFound(m.Header.Get(natsSubject), seq, m.Header, m.Data))
	}
	switch end := r.answers[last]; status(end) {
	case "404":
		return nil, false, nil
	case "204":
		pending, _ := strconv.ParseInt(end.Header.Get("Nats-Num-Pending"), 10, 64)
		return list, pending > 0, nil
	case "503":
		return nil, false, &noResponders{subject}
	default:
		return nil, false, &apiError{Description: "the read was refused: " + status(end) + " " + end.Header.Get("Description")}
	}
}

// readLeader reads one message.
func (d *Driver) readLeader(ctx context.Context, n *names, filter string, from uint64, _ int) ([]*found, bool, error) {
	m, err := d.get(ctx, n, getRequest{Seq: max(from, 1), Next: filter})
	if err != nil || m == nil {
		return nil, false, err
	}
	return []*found{newFound(m)}, true, nil
}

// page reads at most max jobs of a filter, and the cursor of the next.
func (d *Driver) page(ctx context.Context, n *names, filter string, from uint64, max int) (list []*found, next string, err error) {
	err = d.scan(ctx, n, filter, from, max+1, func(f *found) bool {
		if f.gone {
			return true
		}
		if len(list) == max {
			next = strconv.FormatUint(f.seq, 10)
			return false
		}
		list = append(list, f)
		return true
	})
	return list, next, err
}

// readCursor reads a cursor that is a sequence.
func readCursor(op, queue, cursor string, max int) (uint64, error) {
	if max < 1 || max > 1000 {
		return 0, badPage(op, queue, "max is "+strconv.Itoa(max)+", which is not from 1 to 1000")
	}
	if cursor == "" {
		return 1, nil
	}
	seq, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil {
		return 0, badPage(op, queue, "the cursor is not one of this list")
	}
	return seq, nil
}

// badPage is the error of a page that cannot be.
func badPage(op, queue, why string) error {
	return faults.Refuse(op, queue, driver.ErrConfig, errors.New(why), "")
}
