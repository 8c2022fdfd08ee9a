package nats

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// apiWindow is how many requests of the JetStream API are under way at one time
// in one call. The server drops everything when 10 000 wait, from all clients.
const apiWindow = 200

// ask makes requests of the API, some at a time, and gives their answers to read
// in order. An error of the connection ends it.
func (d *Driver) askAll(ctx context.Context, subject string, count int, request func(i int) any, read func(i int, m *natsgo.Msg) error) error {
	for from := 0; from < count; from += apiWindow {
		size := min(apiWindow, count-from)
		f, err := d.link.fly(size, subject)
		if err != nil {
			return err
		}
		for i := range size {
			data, err := json.Marshal(request(from + i))
			if err == nil {
				err = f.ask(i, subject, nil, data)
			}
			if err != nil {
				f.fail(err)
				break
			}
		}
		broken := f.wait(ctx)
		for i, m := range f.answers {
			if m == nil || m == notSent {
				if broken == nil {
					broken = errDown
				}
				return broken
			}
			if err := read(from+i, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// getAll reads messages from the stream's leader; nil stands for what there is
// not.
func (d *Driver) getAll(ctx context.Context, n *names, requests []getRequest) ([]*stored, error) {
	found := make([]*stored, len(requests))
	subject := d.apiRoot + "STREAM.MSG.GET." + n.stream
	err := d.askAll(ctx, subject, len(requests), func(i int) any { return requests[i] }, func(i int, m *natsgo.Msg) error {
		var answer struct {
			Message *stored `json:"message"`
		}
		err := readAnswer(subject, m, &answer)
		if isCode(err, codeMessageNotFound) {
			return nil
		}
		found[i] = answer.Message
		return err
	})
	return found, err
}

// get reads one message from the stream's leader, or nil.
func (d *Driver) get(ctx context.Context, n *names, request getRequest) (*stored, error) {
	found, err := d.getAll(ctx, n, []getRequest{request})
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// errTaken says that a message was not there any more when it was to be removed.
var errTaken = errors.New("the entry is gone")

// remove deletes messages by sequence and returns an error for each, or nil.
// Of all who try to delete one, exactly one succeeds: for the others it is
// errTaken. This is what decides who settles a job.
func (d *Driver) remove(ctx context.Context, n *names, seqs []uint64) []error {
	type request struct {
		Seq     uint64 `json:"seq"`
		NoErase bool   `json:"no_erase"`
	}
	subject := d.apiRoot + "STREAM.MSG.DELETE." + n.stream
	var errs []error
	next := 0
	note := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(seqs))
		}
		errs[i] = err
	}
	broken := d.askAll(ctx, subject, len(seqs), func(i int) any { return request{seqs[i], true} }, func(i int, m *natsgo.Msg) error {
		next = i + 1
		err := readAnswer(subject, m, nil)
		if isGone(err) {
			err = errTaken
		}
		if err != nil {
			note(i, err)
		}
		return nil
	})
	if broken != nil {
		for i := next; i < len(seqs); i++ {
			note(i, broken)
		}
	}
	return errs
}

// isGone tells the answers of a server that has no such message. One that was
// removed before is 10057 with the store's own words, one that never was 10043.
func isGone(err error) bool {
	if isCode(err, codeSequenceNotFound, codeMessageNotFound, codeStreamNotFound) {
		return true
	}
	var api *apiError
	return errors.As(err, &api) && api.ErrCode == codeMsgDeleteFailed &&
		(strings.Contains(api.Description, "no message found") || strings.Contains(api.Description, "deleted message"))
}

// scanBytes bounds what one request of a scan brings, so that a page of large
// jobs does not fill what the server keeps for a slow client.
const scanBytes = 8 << 20

// scan reads messages of a filter in the order of the stream, from a sequence
// on, and gives each to take until that says that it has enough.
func (d *Driver) scan(ctx context.Context, n *names, filter string, from uint64, page int, take func(*found) (more bool)) error {
	info, err := d.stream(ctx, n)
	if err != nil {
		return err
	}
	read := d.readDirect
	if info.Config.Replicas > 1 {
		// Any replica answers direct reads, and one that lags behind would show
		// what is gone and not what is there. The leader reads one by one.
		read = d.readLeader
	}
	for {
		page, more, err := read(ctx, n, filter, from, page)
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
func (d *Driver) readDirect(ctx context.Context, n *names, filter string, from uint64, page int) (list []*found, more bool, err error) {
	subject := d.apiRoot + "DIRECT.GET." + n.stream
	f, err := d.link.fly(0, subject)
	if err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	f.many = true
	f.mu.Unlock()
	data, err := json.Marshal(getRequest{Seq: max(from, 1), Next: filter, Batch: page, MaxBytes: scanBytes})
	if err == nil {
		err = d.nc.PublishRequest(subject, f.reply+"0", data)
	}
	if err != nil {
		f.fail(err)
	}
	if err := f.wait(ctx); err != nil {
		return nil, false, err
	}
	last := len(f.answers) - 1
	for _, m := range f.answers[:last] {
		seq, err := parseInt(m.Header.Get(natsSequence))
		if err != nil {
			return nil, false, errAnswer
		}
		at, _ := time.Parse(time.RFC3339Nano, m.Header.Get(natsTimeStamp))
		r := &found{subject: m.Header.Get(natsSubject), seq: uint64(seq), at: at}
		r.ok = r.read(m.Header, m.Data)
		list = append(list, r)
	}
	switch end := f.answers[last]; status(end) {
	case "404":
		return nil, false, nil
	case "204":
		pending, _ := parseInt(end.Header.Get("Nats-Num-Pending"))
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
	r := newFound(m)
	return []*found{&r}, true, nil
}

// found is a message as a scan finds it.
type found struct {
	job
	subject string
	seq     uint64
	at      time.Time
	ok      bool // it is a job
}

func newFound(m *stored) found {
	r := found{subject: m.Subject, seq: m.Seq, at: m.Time}
	h, err := natsgo.DecodeHeadersMsg(m.Header)
	if err != nil {
		h = nil
	}
	r.ok = r.read(h, m.Data)
	return r
}
