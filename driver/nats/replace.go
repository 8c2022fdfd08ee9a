package nats

import (
	"context"
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// replace stores new entries and then removes the old ones. Where an old one
// was gone, the new one is withdrawn and the error is errTaken. The receipts, if
// there are any, are those of the old ones.
func (d *Driver) replace(ctx context.Context, n *names, entries []entry, old []uint64, receipts []*receipt) []error {
	acks, errs := d.publish(ctx, n, entries)
	if errs == nil {
		errs = make([]error, len(entries))
	}
	var index []int
	var remove []uint64
	for i, err := range errs {
		if err == nil {
			index = append(index, i)
			remove = append(remove, old[i])
		}
	}
	if len(remove) == 0 {
		return errs
	}
	var withdraw []uint64
	for k, err := range d.remove(ctx, n, remove) {
		i := index[k]
		if errs[i] = err; !errors.Is(err, errTaken) {
			continue
		}
		// What an earlier try has stored already, and perhaps removed the old one
		// for, is what there is of the job now.
		if receipts == nil || !acks[i].Duplicate || !receipts[i].removing {
			withdraw = append(withdraw, acks[i].Seq)
		}
	}
	if receipts != nil {
		for _, i := range index {
			receipts[i].removing = true
		}
	}
	if len(withdraw) > 0 {
		// If this fails the job is there twice, which a crash may do as well.
		_ = d.remove(ctx, n, withdraw)
	}
	return errs
}

// requeue gives back what no Receive returned: it stores entries anew, at the end of
// the queue or, if they came before their time, to come when that has come, and removes
// the old ones. All deliveries before
// the one to this process had a holder that vanished. What is no job becomes a
// dead letter if it has a body. The server hands out again what fails; the error is
// that of one of these.
func (d *Driver) requeue(ctx context.Context, n *names, messages []*natsgo.Msg) error {
	var errs []error
	var entries []entry
	var old []uint64
	var drop []uint64
	holders := d.local.holders(n)
	for _, m := range messages {
		delivered, seq, ok := ackReply(m.Reply)
		if !ok || delivered > 1 && d.spare(holders, m.Reply, seq, delivered) {
			continue
		}
		var j job
		if j.read(m.Header, m.Data) {
			due, err := d.dueAgain(ctx, n, m.Header)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			lost := holders.lost(seq, delivered)
			j.deliveries, j.lost = addCounts(j.deliveries, lost), addCounts(j.lost, lost)
			entries = append(entries, n.entry(&j, due))
			old = append(old, seq)
			continue
		}
		if len(m.Data) == 0 {
			drop = append(drop, seq)
			continue
		}
		letter, err := d.unreadable(ctx, n, &j, seq)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		entries, old = append(entries, letter), append(old, seq)
	}
	if len(entries) > 0 {
		errs = append(errs, d.replace(ctx, n, entries, old, nil)...)
	}
	if len(drop) > 0 {
		errs = append(errs, d.remove(ctx, n, drop)...)
	}
	for _, err := range errs {
		// What is gone, with its queue perhaps, is not held here.
		if err != nil && !errors.Is(err, errTaken) && !isNoQueue(err) {
			return err
		}
	}
	return nil
}

// unreadable makes a dead letter of what is no job.
func (d *Driver) unreadable(ctx context.Context, n *names, j *job, seq uint64) (entry, error) {
	now, err := d.serverNow(ctx, n)
	if err != nil {
		return entry{}, err
	}
	// Nothing in the rest of it can be trusted, and a dead letter must be listed.
	letter := job{Message: driver.Message{ID: j.ID, Kind: j.Kind, Body: j.Body, ContentType: defaultType, EnqueuedAt: j.EnqueuedAt}}
	if !wire.IsToken(letter.ID) {
		letter.ID = fmt.Sprintf("unreadable-%d", seq)
	}
	if !wire.IsToken(letter.Kind) {
		letter.Kind = "unreadable"
	}
	if letter.EnqueuedAt.IsZero() {
		letter.EnqueuedAt = now.server
	}
	letter.reason, letter.diedAt, letter.deliveries = driver.ReasonUnreadable, now.server, 1
	return d.stripped(n, &letter), nil
}
