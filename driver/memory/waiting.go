package memory

// waitingJobs are the jobs that wait, those that began to wait first in front:
// where they stand does not tell, as one that is given back returns to its old
// place. The queue's mu guards it.
type waitingJobs struct{ oldest, newest *job }

// push adds a job that waits since then, which no other does for less time.
func (w *waitingJobs) push(j *job, since instant) {
	j.since, j.older = since, w.newest
	if w.newest == nil {
		w.oldest = j
	} else {
		w.newest.newer = j
	}
	w.newest = j
}

// remove takes out a job.
func (w *waitingJobs) remove(j *job) {
	if j.older == nil {
		w.oldest = j.newer
	} else {
		j.older.newer = j.newer
	}
	if j.newer == nil {
		w.newest = j.older
	} else {
		j.newer.older = j.older
	}
	j.older, j.newer = nil, nil
}

// age is how long the oldest has been waiting, and zero if none is.
func (w *waitingJobs) age(now instant) instant {
	if w.oldest == nil {
		return 0
	}
	return now - w.oldest.since
}
