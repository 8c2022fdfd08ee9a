package nats

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// mend corrects leases and schedules of all queues. It returns an error if something is
// left to do.
func (d *Driver) mend(ctx context.Context) error {
	for _, r := range d.local.held() {
		d.keepFor(r.reply, max(r.most(), 0))
	}
	queues, err := d.ListQueues(ctx)
	if err != nil {
		return err
	}
	var errs []error
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
	d.rouse(ctx, n) // what is due already goes out, and is left alone
	for from, more := uint64(1), true; more; {
		var off []*found
		more = false
		size := 0
		err := d.scan(ctx, n, n.allLater(), from, mendSize, func(f *found) bool {
			if d.isOff(n, f) {
				off = append(off, f)
				size += len(f.Body)
			}
			from, more = f.seq+1, len(off) == mendSize || size >= mendBytes
			return !more
		})
		if err == nil {
			err = d.storeInTime(ctx, n, off)
		}
		if err != nil {
			return err
		}
	}
	d.rouse(ctx, n)
	return nil
}

const (
	// mendSize is how many scheduled jobs are read and stored at once: as many as the server
	// answers at once, so that none is read twice.
	mendSize = 100
	// mendBytes bounds what they hold, but for the last.
	mendBytes = 16 << 20
	// mendSoon is how far ahead of its time by the server's clock a job must be to be stored
	// anew: one that the server is about to hand out would be there twice. A worker puts it
	// back if it is early.
	mendSoon = time.Second
)

// isOff tells whether the server will hand out a scheduled job at another time than it is
// due at.
func (d *Driver) isOff(n *names, f *found) bool {
	now, ok := d.clock.now()
	scheduled, _, is := n.dueOf(f.subject)
	if !ok || !is || !f.isJob || f.due == 0 || scheduled.Sub(now.server) < mendSoon {
		return false
	}
	return now.at(f.due).server.Sub(scheduled).Abs() >= step
}

// storeInTime stores scheduled jobs anew, to be handed out when they are due, and removes
// the old ones. One that was handed out meanwhile is left alone.
func (d *Driver) storeInTime(ctx context.Context, n *names, off []*found) error {
	if len(off) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// A Close does not cut it off: what is stored anew would stay there twice.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requeueTime)
	defer cancel()
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
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var info struct {
		Config json.RawMessage `json:"config"`
	}
	if d.conn.callAPI(ctx, d.apiRoot+"STREAM.INFO."+n.stream, nil, &info) != nil {
		return // the queue is gone, or the server is
	}
	_ = d.conn.callAPI(ctx, d.apiRoot+"STREAM.UPDATE."+n.stream, info.Config, nil) // a user may lack the right: then it waits
}

// wasSet tells whether the time of day was set while no driver watched: then what was
// scheduled before is off. It looks at the oldest few of each queue.
func (d *Driver) wasSet(ctx context.Context) (set bool) {
	queues, err := d.ListQueues(ctx)
	if err != nil || d.life.Begin(ctx) != nil {
		return false
	}
	defer d.life.End()
	for _, queue := range queues {
		n, looks := d.names(queue), 0
		err := d.scan(ctx, n, n.allLater(), 1, mendSize, func(f *found) bool {
			looks++
			set = d.isOff(n, f)
			return !set && looks < mendSize
		})
		if set || err != nil && !isNoQueue(err) {
			return set
		}
	}
	return false
}
