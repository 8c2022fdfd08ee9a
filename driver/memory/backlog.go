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

	groups   index // the jobs of a group that are not dead, oldest first
	deadByID index // the dead letters of an ID
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

// nextSeq is a new sequence number, behind all others.
func (b *backlog) nextSeq() uint64 {
	b.lastSeq++
	return b.lastSeq
}

// admit makes a job wait at the end: one that is new or redriven.
func (b *backlog) admit(j *job) {
	j.seq = b.nextSeq()
	if j.msg.Group == "" || b.groups.add(j.msg.Group, j) {
		b.makeReady(j)
		return
	}
	b.blocked[j.rank()].push(j)
	b.nblocked++
}

// makeReady makes a job ready at the place that it has.
func (b *backlog) makeReady(j *job) {
	b.ready[j.rank()].push(j)
	b.nready++
}

// requeue makes a job ready at the end. A job of a group keeps its place: it is
// still the oldest of its group.
func (b *backlog) requeue(j *job) {
	j.at = 0
	if j.msg.Group == "" {
		j.seq = b.nextSeq()
	}
	b.makeReady(j)
}

// schedule holds a job back.
func (b *backlog) schedule(j *job, at instant) {
	j.at = at
	if j.msg.Group == "" {
		j.seq = b.nextSeq()
	}
	b.scheduled.push(j)
}

// requeueDue makes the scheduled jobs ready that are due.
func (b *backlog) requeueDue(now instant) {
	for j := b.scheduled.first(); j != nil && j.at <= now; j = b.scheduled.first() {
		b.requeue(b.scheduled.pop())
	}
}

// takeReady takes the job that is next; one must be ready.
func (b *backlog) takeReady() *job {
	for i := range b.ready {
		if b.ready[i].n > 0 {
			b.nready--
			return b.ready[i].pop()
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
	if next := b.groups.remove(j.msg.Group, j); next != nil {
		b.blocked[next.rank()].remove(next)
		b.nblocked--
		b.makeReady(next)
	}
}

// addDead makes a job a dead letter.
func (b *backlog) addDead(j *job, reason string, now instant) {
	b.dropFromGroup(j)
	j.reason = reason
	// The seq is new, for those that die in the same nanosecond.
	j.at, j.seq = now, b.nextSeq()
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
		b.blocked[j.rank()].remove(j)
		b.nblocked--
	default:
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
	b.groups, b.deadByID = index{}, index{}
	return bytes, jobs
}
