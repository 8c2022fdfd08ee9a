package nats

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/internal/fault"
)

// stored is a message as the API returns it.
type stored struct {
	Subject string `json:"subject"`
	Seq     uint64 `json:"seq"`
	Header  []byte `json:"hdrs"`
	Data    []byte `json:"data"`
	// Time is when it was stored, by the server's clock.
	Time time.Time `json:"time"`
}

// getRequest asks for one message, or for some of a filter.
type getRequest struct {
	Seq      uint64 `json:"seq,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Next     string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// getAll reads messages from the stream's leader; nil stands for a message that
// is not there.
func (d *Driver) getAll(ctx context.Context, n *names, requests []getRequest) ([]*stored, error) {
	messages := make([]*stored, len(requests))
	subject := d.apiRoot + "STREAM.MSG.GET." + n.stream
	read := func(i int, m *natsgo.Msg) error {
		var answer struct {
			Message *stored `json:"message"`
		}
		err := readAnswer(subject, m, &answer)
		if isCode(err, codeMessageNotFound) {
			return nil
		}
		messages[i] = answer.Message
		return err
	}
	err := d.whileBehind(ctx, func() error {
		return d.conn.callAPIMany(ctx, subject, len(requests), func(i int) ([]byte, error) { return json.Marshal(requests[i]) }, read)
	})
	return messages, err
}

// get reads one message from the stream's leader, or nil.
func (d *Driver) get(ctx context.Context, n *names, request getRequest) (*stored, error) {
	messages, err := d.getAll(ctx, n, []getRequest{request})
	if err != nil {
		return nil, err
	}
	return messages[0], nil
}

// removed is the answer to a removal that succeeded, as the server writes it. Any other one is
// read in full.
const removed = `{"type":"io.nats.jetstream.api.v1.stream_msg_delete_response","success":true}`

// remove deletes messages by sequence and returns an error for each, or nil.
// If several callers try to delete one, exactly one succeeds: the others get
// errTaken. This is what decides which holder settles a job. Only where a server of a cluster is behind,
// as it is for moments after a queue was declared, more than one may.
func (d *Driver) remove(ctx context.Context, n *names, seqs []uint64) []error {
	errs := d.removeOnce(ctx, n, seqs)
	if errs != nil && d.conn.nc().ConnectedClusterName() != "" {
		d.removeBehind(ctx, n, seqs, errs)
	}
	for i, err := range errs {
		if isGone(err) {
			errs[i] = errTaken
		}
	}
	return errs
}

// removeBehind asks again for those of which a server said that there is no such stream, as long as one
// says so of any. The one that has the stream may have removed them nevertheless: each hears the request, and
// the first answer counts. So those that are gone by then were removed by this call.
func (d *Driver) removeBehind(ctx context.Context, n *names, seqs []uint64, errs []error) {
	for look := range behindLooks {
		var index []int
		var again []uint64
		for i, err := range errs {
			if isCode(err, codeStreamNotFound) {
				index, again = append(index, i), append(again, seqs[i])
			}
		}
		if len(index) == 0 {
			return
		}
		if err := d.conn.sleep(ctx, clusterPoll<<look); err != nil {
			for _, i := range index {
				errs[i] = err // nobody knows whether it was removed
			}
			return
		}
		answers := d.removeOnce(ctx, n, again)
		for k, i := range index {
			errs[i] = nil
			if answers != nil && !isMissing(answers[k]) {
				errs[i] = answers[k]
			}
		}
	}
}

// removeOnce is remove that takes the first answer for the last, and any for an error.
func (d *Driver) removeOnce(ctx context.Context, n *names, seqs []uint64) []error {
	subject := d.apiRoot + "STREAM.MSG.DELETE." + n.stream
	var errs []error
	next := 0
	var space []byte
	request := func(i int) ([]byte, error) {
		space = strconv.AppendUint(append(space[:0], `{"seq":`...), seqs[i], 10)
		space = append(space, `,"no_erase":true}`...)
		return space, nil
	}
	broken := d.conn.callAPIMany(ctx, subject, len(seqs), request, func(i int, m *natsgo.Msg) error {
		next = i + 1
		if string(m.Data) == removed {
			return nil
		}
		if err := readAnswer(subject, m, nil); err != nil {
			errs = fault.Set(errs, len(seqs), i, err)
		}
		return nil
	})
	if broken != nil {
		for i := next; i < len(seqs); i++ {
			errs = fault.Set(errs, len(seqs), i, broken)
		}
	}
	return errs
}

// isGone tells the answers of a server that has no such message. One that was
// removed before is 10057 with the store's own words, one that never was 10043.
func isGone(err error) bool { return isCode(err, codeStreamNotFound) || isMissing(err) }

// isMissing is isGone of a server that has the stream.
func isMissing(err error) bool {
	if isCode(err, codeSequenceNotFound, codeMessageNotFound) {
		return true
	}
	var api *apiError
	return errors.As(err, &api) && api.ErrCode == codeMsgDeleteFailed &&
		(strings.Contains(api.Description, "no message found") || strings.Contains(api.Description, "deleted message"))
}

// purge removes all messages of some subjects, or filters, and counts them.
func (d *Driver) purge(ctx context.Context, n *names, filters []string) (int, error) {
	type request struct {
		Filter string `json:"filter"`
	}
	subject := d.apiRoot + "STREAM.PURGE." + n.stream
	purged := 0
	read := func(_ int, m *natsgo.Msg) error {
		var answer struct {
			Purged int `json:"purged"`
		}
		err := readAnswer(subject, m, &answer)
		purged += answer.Purged
		return err
	}
	err := d.whileBehind(ctx, func() error {
		return d.conn.callAPIMany(ctx, subject, len(filters), func(i int) ([]byte, error) { return json.Marshal(request{filters[i]}) }, read)
	})
	return purged, err
}
