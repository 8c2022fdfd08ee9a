package nats

import (
	"context"
	"fmt"
	"slices"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// List returns jobs in one state. Waiting and dead ones are read in the order of
// the stream. Scheduled ones are in the order of their subjects, which begin
// with the time; the server lists all subjects for that, so that a page costs as
// much as there are scheduled jobs.
func (d *Driver) List(ctx context.Context, queue string, state driver.State, cursor string, max int) ([]driver.Entry, string, error) {
	const op = "list"
	if err := d.life.Begin(ctx); err != nil {
		return nil, "", fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	if state == driver.StateScheduled {
		if _, err := readCursor(op, queue, "", max); err != nil {
			return nil, "", err
		}
		page, next, err := d.listScheduled(ctx, n, cursor, max)
		return page, next, fail(op, queue, err)
	}
	from, err := readCursor(op, queue, cursor, max)
	if err != nil {
		return nil, "", err
	}
	var list []*found
	var next string
	switch state {
	case driver.StateWaiting:
		if from, err = d.firstWaiting(ctx, n, from); err == nil {
			list, next, err = d.page(ctx, n, n.job, from, max)
		}
	case driver.StateDead:
		list, next, err = d.page(ctx, n, n.allDead(), from, max)
	default:
		return nil, "", badPage(op, queue, fmt.Sprintf("the state %d is none", state))
	}
	if err != nil {
		return nil, "", fail(op, queue, err)
	}
	entries := make([]driver.Entry, len(list))
	for i, f := range list {
		entries[i] = f.entry(state)
	}
	return entries, next, nil
}

// firstWaiting is the sequence from which on jobs are waiting: what is before
// was handed out, since whatever comes back comes back as a new message.
func (d *Driver) firstWaiting(ctx context.Context, n *names, from uint64) (uint64, error) {
	info, err := d.consumerInfo(ctx, n, consumerJobs)
	if err != nil {
		return 0, err
	}
	return max(from, info.Delivered.Stream+1), nil
}

// entry is a message as an entry in a state.
func (f *found) entry(state driver.State) driver.Entry {
	return driver.Entry{
		Message: f.Message, State: state, Failures: f.failures, LastError: f.lastError, Bounces: f.bounces, BouncedSince: f.bouncedSince,
		Deliveries: f.deliveries, Reason: f.reason, DeadAt: f.diedAt,
	}
}

// listScheduled lists scheduled jobs from a place in their order on.
func (d *Driver) listScheduled(ctx context.Context, n *names, cursor string, max int) ([]driver.Entry, string, error) {
	subjects, err := d.subjects(ctx, n, n.allLater())
	if err != nil {
		return nil, "", err
	}
	first, _ := slices.BinarySearch(subjects, n.laterRoot()+cursor)
	subjects = subjects[first:]
	next := ""
	if len(subjects) > max {
		_, next, _ = n.dueOf(subjects[max])
		subjects = subjects[:max]
	}
	entries, err := d.scheduled(ctx, n, subjects)
	return entries, next, err
}

// scheduled reads the scheduled jobs of some subjects, without those that fell
// due meanwhile.
func (d *Driver) scheduled(ctx context.Context, n *names, subjects []string) ([]driver.Entry, error) {
	requests := make([]getRequest, len(subjects))
	for i, s := range subjects {
		requests[i].Last = s
	}
	messages, err := d.getAll(ctx, n, requests)
	if err != nil {
		return nil, err
	}
	var entries []driver.Entry
	for _, m := range messages {
		if m == nil {
			continue
		}
		f := newFound(m)
		e := f.entry(driver.StateScheduled)
		e.DueAt, _, _ = n.dueOf(m.Subject)
		entries = append(entries, e)
	}
	return entries, nil
}

// subjects lists the subjects of a filter that have messages, sorted. The server
// gives at most 100 000 in one answer (JSMaxSubjectDetails).
func (d *Driver) subjects(ctx context.Context, n *names, filter string) ([]string, error) {
	var list []string
	for {
		request := struct {
			Filter string `json:"subjects_filter"`
			Offset int    `json:"offset,omitempty"`
		}{filter, len(list)}
		var info streamInfo
		err := d.whileBehind(ctx, func() error { return d.conn.callAPI(ctx, d.apiRoot+"STREAM.INFO."+n.stream, request, &info) })
		if err != nil {
			return nil, err
		}
		for s := range info.State.Subjects {
			list = append(list, s)
		}
		if len(info.State.Subjects) == 0 || len(list) >= info.Total {
			slices.Sort(list)
			return list, nil
		}
	}
}

// Find returns the job with this ID. Among those that wait it reads all before
// it; the others it finds by their subject.
func (d *Driver) Find(ctx context.Context, queue, id string) (driver.Entry, error) {
	const op = "find"
	if err := d.life.Begin(ctx); err != nil {
		return driver.Entry{}, fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	l, err := d.find(ctx, n, id)
	if err != nil {
		return driver.Entry{}, fail(op, queue, err)
	}
	return l.entry, nil
}

// located is a job as it was found, and as an entry.
type located struct {
	entry    driver.Entry
	found    *found
	replicas int // of its stream
}

// find finds a job in any state, or returns errNoJob.
func (d *Driver) find(ctx context.Context, n *names, id string) (*located, error) {
	if !wire.IsToken(id) {
		return nil, errNoJob
	}
	before, err := d.streamInfo(ctx, n)
	if err != nil {
		return nil, err
	}
	// In the order of a job's states, so that one that moves on meanwhile is found
	// in its next state. A redrive moves it back, to the end of the stream.
	for _, look := range []func() (*located, error){
		func() (*located, error) { return d.findScheduled(ctx, n, id) },
		func() (*located, error) { return d.findWaiting(ctx, n, id, 1) },
		func() (*located, error) { return d.findDead(ctx, n, id) },
		func() (*located, error) { return d.findWaiting(ctx, n, id, before.State.LastSeq+1) },
	} {
		l, err := look()
		if l != nil {
			l.replicas = before.Config.Replicas
		}
		if l != nil || err != nil {
			return l, err
		}
	}
	return nil, errNoJob
}

// findScheduled finds a job by its subject, or returns nil.
func (d *Driver) findScheduled(ctx context.Context, n *names, id string) (*located, error) {
	m, err := d.get(ctx, n, getRequest{Seq: 1, Next: n.laterOf(id)})
	if m == nil || err != nil {
		return nil, err
	}
	f := newFound(m)
	l := &located{entry: f.entry(driver.StateScheduled), found: f}
	l.entry.DueAt, _, _ = n.dueOf(m.Subject)
	return l, nil
}

// findDead finds a dead letter by its subject, or returns nil.
func (d *Driver) findDead(ctx context.Context, n *names, id string) (l *located, err error) {
	err = d.scan(ctx, n, n.deadOf(id), 1, 10, func(f *found) bool {
		if !f.gone {
			l = &located{entry: f.entry(driver.StateDead), found: f}
		}
		return l == nil
	})
	return l, err
}

// findWaiting looks through the jobs that wait, from a sequence on, or returns nil.
func (d *Driver) findWaiting(ctx context.Context, n *names, id string, from uint64) (l *located, err error) {
	from, err = d.firstWaiting(ctx, n, from)
	if err != nil {
		return nil, err
	}
	err = d.scan(ctx, n, n.job, from, batchSize, func(f *found) bool {
		if f.ID == id && f.isJob {
			l = &located{entry: f.entry(driver.StateWaiting), found: f}
		}
		return l == nil
	})
	return l, err
}

// Delete removes the job with this ID and frees its dedup key. If it is handed out in that very moment, it
// is removed too, and its holder cannot settle it.
func (d *Driver) Delete(ctx context.Context, queue, id string) error {
	const op = "delete"
	if err := d.life.Begin(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	for {
		l, err := d.find(ctx, n, id)
		if err != nil {
			return fail(op, queue, err)
		}
		remove := d.removeJobs
		if l.entry.State == driver.StateDead {
			remove = func(ctx context.Context, n *names, letters []*found) (int, error) {
				return d.discard(ctx, n, letters, l.replicas)
			}
		}
		removed, err := remove(ctx, n, []*found{l.found})
		if removed > 0 || err != nil {
			return fail(op, queue, err)
		}
		// It moved on; the next find looks where it is now.
	}
}
