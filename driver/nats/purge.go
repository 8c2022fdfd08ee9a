package nats

import "context"

// purgeSize is how many jobs a purge removes before it looks again which have been
// handed out: the more, the likelier is one that a worker takes in between.
const purgeSize = 200

// Purge removes the jobs that wait, by their sequences: the server's own purge
// takes the running ones too, as they are on the same subject and before. What is
// handed out in the very moment in which it is removed is removed too, as by
// Delete.
func (d *Driver) Purge(ctx context.Context, queue string) (int, error) {
	const op = "purge"
	if err := d.life.Begin(ctx); err != nil {
		return 0, fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	info, err := d.streamInfo(ctx, n)
	purged := 0
	for err == nil {
		var jobs []*found
		if jobs, err = d.waitingUpTo(ctx, n, info.State.LastSeq); err != nil || len(jobs) == 0 {
			break
		}
		var removed int
		removed, err = d.removeJobs(ctx, n, jobs)
		purged += removed
	}
	return purged, fail(op, queue, err)
}

// waitingUpTo reads the first jobs that wait and were stored no later than that
// with the sequence last.
func (d *Driver) waitingUpTo(ctx context.Context, n *names, last uint64) (jobs []*found, err error) {
	from, err := d.firstWaiting(ctx, n, 1)
	if err != nil {
		return nil, err
	}
	err = d.scan(ctx, n, n.job, from, purgeSize, func(f *found) bool {
		if f.seq > last {
			return false
		}
		f.Body = nil // only its key is needed
		jobs = append(jobs, f)
		return len(jobs) < purgeSize
	})
	return jobs, err
}
