package nats

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/batch-go/batch/internal/bootclock"
)

// mend corrects leases and schedules of all queues. It returns an error if something is
// left to do.
func (d *Driver) mend(ctx context.Context) error {
	queues, err := d.ListQueues(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, queue := range queues {
		n := d.names(queue)
		for _, r := range d.local.holders(n).held() {
			d.keepFor(r.reply, max(r.most(), 0))
		}
	}
	for _, queue := range queues {
		if err := d.mendQueue(ctx, d.names(queue)); !isNoQueue(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// mendQueue corrects the schedules of a queue.
func (d *Driver) mendQueue(ctx context.Context, n *names) error {
	if err := d.life.Begin(ctx); err != nil {
		return err
	}
	defer d.life.End()
	end, err := d.local.holders(n).begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	for from, more := uint64(1), true; more; {
		var off []*found
		more = false
		err := d.scan(ctx, n, n.allLater(), from, mendSize, func(f *found) bool {
			if d.isOff(n, f) {
				off = append(off, f)
			}
			from, more = f.seq+1, len(off) == mendSize
			return !more
		})
		if err == nil {
			err = d.storeInTime(ctx, n, off)
		}
		if err != nil {
			return err
		}
	}
	if d.local != nil {
		d.rouse(ctx, n)
	}
	return nil
}

// mendSize is how many scheduled jobs are read and stored at once: as many as the server
// answers at once, so that none is read twice.
const mendSize = 100

// isOff tells whether the server will hand out a scheduled job at another time than it is
// due at.
func (d *Driver) isOff(n *names, f *found) bool {
	now, ok := d.clock.now()
	scheduled, _, is := n.dueOf(f.subject)
	if !ok || !is || !f.isJob || f.due == 0 {
		return false
	}
	most := step
	if !d.clock.own {
		most += queryTimeout // what is known of the server's clock is as old as its answer
	}
	return now.at(f.due).server.Sub(scheduled).Abs() >= most
}

// storeInTime stores scheduled jobs anew, to be handed out when they are due, and removes
// the old ones. One that was handed out meanwhile is left alone.
func (d *Driver) storeInTime(ctx context.Context, n *names, off []*found) error {
	if len(off) == 0 {
		return nil
	}
	now, err := d.serverNow(ctx, n)
	if err != nil {
		return err
	}
	entries, old := make([]entry, len(off)), make([]uint64, len(off))
	for i, f := range off {
		entries[i], old[i] = n.entry(&f.job, now.at(f.due)), f.seq
	}
	errs := d.replace(ctx, n, entries, old, nil)
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, errTaken) })...)
}

// rouse has the server look at its schedules anew. Otherwise it goes on waiting for the
// next of them by the time that its clock had before that was set, and takes no new one for
// the next that is later by the new time (resetTimer in server/scheduler.go). It looks
// when a stream's settings are stored, though they are what they were.
func (d *Driver) rouse(ctx context.Context, n *names) {
	var info struct {
		Config json.RawMessage `json:"config"`
	}
	if d.conn.callAPI(ctx, d.apiRoot+"STREAM.INFO."+n.stream, nil, &info) != nil {
		return // the queue is gone, or the server is
	}
	_ = d.conn.callAPI(ctx, d.apiRoot+"STREAM.UPDATE."+n.stream, info.Config, nil) // a user may lack the right: then it waits
}

// mendSetBack corrects the schedules of jobs that were delayed on this machine, if the
// clock of a server elsewhere was set back since the last look. What it says is server.
// One that was set ahead hands jobs out before their time, and they are put back.
func (d *Driver) mendSetBack(ctx context.Context, n *names, server time.Time) error {
	before, ahead := n.ahead.Load(), server.UnixNano()-int64(bootclock.Now())
	if back := time.Duration(before - ahead); before != 0 && back > step+queryTimeout {
		if err := d.mendQueue(ctx, n); err != nil {
			return err // the next look finds it again
		}
	}
	n.ahead.CompareAndSwap(before, ahead)
	return nil
}

// wasSet tells whether the time of day was set while no driver watched: then the oldest
// scheduled job of a queue is off, as all are that were stored before.
func (d *Driver) wasSet(ctx context.Context) bool {
	queues, err := d.ListQueues(ctx)
	if err != nil || d.life.Begin(ctx) != nil {
		return false
	}
	defer d.life.End()
	return slices.ContainsFunc(queues, func(queue string) bool {
		n := d.names(queue)
		m, err := d.get(ctx, n, getRequest{Seq: 1, Next: n.allLater()})
		return err == nil && m != nil && d.isOff(n, newFound(m))
	})
}
