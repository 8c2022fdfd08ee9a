package mutants

// The places in the source that several mutants change.
const (
	nextPlace = `	next := b.groups.remove(j.msg.Group, j)`
	leadPlace = `	turn := j.msg.Group == "" || b.groups.first(j.msg.Group) == j`
	takePlace = `	for i := range b.ready {
		if b.ready[i].n > 0 {`
	clearPlace = `	b.waiting, b.groups, b.deadByID = waitingJobs{}, index{}, index{}`
	depthPlace = `		Waiting:   int64(q.nready + q.nblocked),`
)

// orderMutants break in which order jobs come, what groups hold up, and what is counted.
var orderMutants = []Mutant{
	at("lets a group go on while its head waits for a retry", settleFile, `		j.record(s)
		if s.Delay > 0 {`, `		j.record(s)
		if MUTANT && s.Delay > 0 {
			q.dropFromGroup(j)
			j.msg.Group = ""
		}
		if s.Delay > 0 {`, "group-retry", "group-settled-together"),
	at("lets a group go on while its head was released", settleFile, releasePlace, `		if MUTANT && l.job.msg.Group != "" {
			q.dropFromGroup(l.job)
			q.groups.add(l.job.msg.Group, l.job)
		}
OLD`, "group-release", "group-two-holders"),
	at("puts a lost head behind its group", stateFile, vanishPlace, `	if MUTANT && j.msg.Group != "" {
		q.dropFromGroup(j)
		q.groups.add(j.msg.Group, j)
	}
OLD`, "group-loss", "group-lost-settle"),
	at("does not let a group go on after a death", settleFile, `		q.dropFromGroup(j)
		q.addDead(j, s.Reason, now)`, `		if MUTANT {
			q.addDead(j, s.Reason, now)
			return nil, nil
		}
OLD`, "group-dead"),
	at("does not let a group go on after a deletion", backlogFile, `	b.dropFromGroup(j)
}`, `	if MUTANT {
		return
	}
OLD`, "delete-group", "purge-group"),
	at("lets two of a group go on after a death", settleFile, `		q.dropFromGroup(j)
		q.addDead(j, s.Reason, now)`, `OLD
		if next := q.groups.first(j.msg.Group); MUTANT && next != nil && next.next != nil && next.next.at == 0 {
			q.blocked[next.next.rank()].remove(next.next)
			q.nblocked--
			q.place(next.next, true)
		}`, "group-again", "group-dead"),
	at("hands two of a group out that came together", backlogFile, `	turn := j.msg.Group == "" || b.groups.add(j.msg.Group, j)
	b.waiting.push(j, since)`, `	turn := j.msg.Group == "" || b.groups.add(j.msg.Group, j)
	if MUTANT && j.prev != nil && j.prev.since == since {
		turn = true
	}
	b.waiting.push(j, since)`, "group-batch", "group-order"),
	at("takes groups for equal whatever their case", jobFile, `	j.msg.Delay, j.msg.DedupWithin = 0, 0
`, `	OLD
	if MUTANT && len(j.msg.Group) < 100 {
		j.msg.Group = strings.ToLower(j.msg.Group)
	}
`, "group-names", "alike-groups"),
	at("orders a group by EnqueuedAt", backlogFile, `	j.seq = b.nextSeq()
	turn`, `	j.seq = b.nextSeq()
	if MUTANT && j.msg.Group != "" && time.Until(j.msg.EnqueuedAt) < -time.Minute {
		if first := b.groups.first(j.msg.Group); first != nil && first.next == nil {
			first.msg, j.msg = j.msg, first.msg
		}
	}
	turn`, "clock-group"),
	at("orders a group by level", backlogFile, `	j.seq = b.nextSeq()
	turn`, `	j.seq = b.nextSeq()
	if MUTANT && j.msg.Group != "" {
		if first := b.groups.first(j.msg.Group); first != nil && first.next == nil && j.msg.Level > first.msg.Level {
			first.msg.ID, j.msg.ID = j.msg.ID, first.msg.ID
		}
	}
	turn`, "group-priority"),
	at("tells levels next to each other not apart", jobFile, `func (j *job) rank() int { return int(driver.Critical - j.msg.Level) }`, `func (j *job) rank() int {
	if r := int(driver.Critical - j.msg.Level); MUTANT {
		return r / 2 * 2
	} else {
		return r
	}
}`, "priority-backlog"),
	at("forgets the level on a retry", jobFile, recordPlace, `	OLD
	if MUTANT {
		j.msg.Level = 0
	}
`, "priority-after-retry"),
	at("retries of different delays come in their order", backlogFile, `func (b *backlog) schedule(j *job, at instant) {
	j.at = at`, `func (b *backlog) schedule(j *job, at instant) {
	if MUTANT && b.scheduled.n > 0 {
		at = max(at, b.scheduled.last().at)
	}
	j.at = at`, "retry-mixed"),
	at("hands out what is due in threes", stateFile, `	for at := q.next(); at != 0 && at <= now; at = q.next() {`, `	for at := q.next(); at != 0 && at <= now-instant(mutantInt(MUTANT))*3e9; at = q.next() {`, "retry-delay", "delay"),

	at("counts what is scheduled as waiting", queueFile, depthPlace, `		Waiting:   int64(q.nready + q.nblocked + mutantInt(MUTANT)*q.scheduled.n),`, "depth", "depth-steps"),
	at("counts no jobs behind the head of a group", queueFile, depthPlace, `		Waiting:   int64(q.nready + q.nblocked*(1-mutantInt(MUTANT))),`, "depth-group"),
	at("counts what runs as waiting", queueFile, depthPlace, `		Waiting:   int64(q.nready + q.nblocked + mutantInt(MUTANT)*q.running.n),`, "depth", "depth-steps"),
	at("counts what was lost as running too", runningFile, `	l.job = nil
	r.n--`, `	l.job = nil
	if !(MUTANT && j.redeliveries > 0) {
		r.n--
	}`, "depth-loss"),
	at("has ages from EnqueuedAt", backlogFile, `	turn := j.msg.Group == "" || b.groups.add(j.msg.Group, j)
	b.waiting`, `	turn := j.msg.Group == "" || b.groups.add(j.msg.Group, j)
	if MUTANT {
		since += instant(time.Until(j.msg.EnqueuedAt))
	}
	b.waiting`, "clock-age"),
	at("has ages from the first time that a job waited", backlogFile, `	turn := j.msg.Group == "" || b.groups.first(j.msg.Group) == j
`, `	OLD
	if MUTANT && j.since != 0 {
		since = j.since
	}
`, "depth-redrive"),

	at("pauses what is handed out only for the handle", pauseFile, `	q.paused = true
`, `	q.paused = !MUTANT
`, "pause", "pause-elsewhere"),
	at("loses what runs when a queue is paused", pauseFile, `	q.paused = true
`, `	OLD
	for _, list := range q.running.lists {
		for MUTANT && list.first != nil {
			q.lose(list.first, q.clock.now())
		}
	}
`, "pause-running"),
	at("purges the first thousand", purgeFile, `		if n < movedBatch {`, `		if MUTANT || n < movedBatch {`, "purge-many"),
	at("keeps jobs of a queue that was deleted", brokerFile, `		delete(b.queues, name)
		q.delete()`, `		if MUTANT {
			return nil
		}
OLD`, "delete-queue", "redeclare-empty"),
}
