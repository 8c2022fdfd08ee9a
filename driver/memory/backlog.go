package memory

import "github.com/batch-go/batch/driver"

// backlog is the jobs of a queue that are not running, each in exactly one of
// its lists. The queue's mu guards it.
type backlog struct {
	lastSeq uint64
	cache   chunkCache

	ready            [levels]sortedList // can be handed out, highest level first
	blocked          [levels]sortedList // wait for another job of their group
	nready, nblocked int
	scheduled        sortedList // by the time when they are due
	dead             sortedList // by the time when they died

	waiting  waitingJobs // those that are ready or blocked
	groups   index       // the jobs of a group that are not dead, oldest first
	deadByID index       // the dead letters of an ID
}

// init makes an empty backlog.
func (b *backlog) init() {
	for _, l := range b.lists() {
		l.cache = &b.cache
	}
}

// lists are all lists of the backlog.
func (b *backlog) lists() []*sortedList {
	all := []*sortedList{&b.scheduled, &b.dead}
	for i := range levels {
		all = append(all, &b.ready[i], &b.blocked[i])
	}
	return all
}

// waitingLists are the lists of the jobs that wait. Those that are blocked come
// first, so that nothing of them becomes ready while the lists are emptied.
func (b *backlog) waitingLists() []*sortedList {
	var all []*sortedList
	for i := range levels {
		all = append(all, &b.blocked[i])
	}
	for i := range levels {
		all = append(all, &b.ready[i])
	}
	return all
}

// nextSeq is a new sequence number, behind all others.
func (b *backlog) nextSeq() uint64 {
	b.lastSeq++
	return b.lastSeq
}

// admit makes a job wait at the end: one that is new or redriven.
func (b *backlog) admit(j *job, since instant) {
	j.seq = b.nextSeq()
	turn := j.msg.Group == "" || b.groups.add(j.msg.Group, j)
	b.waiting.push(j, since)
	b.place(j, turn)
}

// admitLater is admit for a job that is held back first.
func (b *backlog) admitLater(j *job, at instant) {
	j.seq = b.nextSeq()
	if j.msg.Group != "" {
		b.groups.add(j.msg.Group, j)
	}
	b.schedule(j, at)
}

// wait makes a job wait at the place that it has.
func (b *backlog) wait(j *job, since instant) {
	turn := j.msg.Group == "" || b.groups.first(j.msg.Group) == j
	b.waiting.push(j, since)
	b.place(j, turn)
}

// place puts a job that waits into the list where it belongs: turn says that no
// other of its group is before it.
func (b *backlog) place(j *job, turn bool) {
	if turn {
		b.ready[j.rank()].push(j)
		b.nready++
		return
	}
	b.blocked[j.rank()].push(j)
	b.nblocked++
}

// requeue makes a job wait at the end. A job of a group keeps its place.
func (b *backlog) requeue(j *job, since instant) {
	j.at = 0
	if j.msg.Group == "" {
		j.seq = b.nextSeq()
	}
	b.wait(j, since)
}

// schedule holds a job back.
func (b *backlog) schedule(j *job, at instant) {
	j.at = at
	if j.msg.Group == "" {
		j.seq = b.nextSeq()
	}
	b.scheduled.push(j)
}

// takeReady takes the job that is next; one must be ready.
func (b *backlog) takeReady() *job {
	for i := range b.ready {
		if b.ready[i].n > 0 {
			b.nready--
			j := b.ready[i].pop()
			b.waiting.remove(j)
			return j
		}
	}
	panic("memory: no job is ready")
}

// dropFromGroup takes a job that is done, dead or deleted out of its group, and
// lets the group go on.
func (b *backlog) dropFromGroup(j *job) {
	if j.msg.Group == "" {
		return
	}
	next := b.groups.remove(j.msg.Group, j)
	if next == nil || next.at != 0 {
		return // one that is scheduled comes by its time
	}
	b.blocked[next.rank()].remove(next)
	b.nblocked--
	b.place(next, true)
}

// addDead makes a job a dead letter that is in none of the lists.
func (b *backlog) addDead(j *job, reason string, at instant) {
	j.reason = reason
	// The seq is new, for those that die in the same nanosecond.
	j.at, j.seq = at, b.nextSeq()
	b.dead.push(j)
	b.deadByID.add(j.msg.ID, j)
}

// removeDead takes a job out of the dead letters.
func (b *backlog) removeDead(j *job) {
	b.dead.remove(j)
	b.deadByID.remove(j.msg.ID, j)
}

// remove takes out a job that is in that state.
func (b *backlog) remove(j *job, state driver.State) {
	switch {
	case state == driver.StateDead:
		b.removeDead(j)
		return
	case state == driver.StateScheduled:
		b.scheduled.remove(j)
	case j.msg.Group != "" && b.groups.first(j.msg.Group) != j:
		b.waiting.remove(j)
		b.blocked[j.rank()].remove(j)
		b.nblocked--
	default:
		b.waiting.remove(j)
		b.ready[j.rank()].remove(j)
		b.nready--
	}
	b.dropFromGroup(j)
}

// clear takes out all jobs, and returns their bytes and number.
func (b *backlog) clear() (bytes int64, jobs int) {
	for _, l := range b.lists() {
		for l.n > 0 {
			bytes += l.pop().size
			jobs++
		}
	}
	b.nready, b.nblocked = 0, 0
	b.waiting, b.groups, b.deadByID = waitingJobs{}, index{}, index{}
	return bytes, jobs
}
