package mutants

// The places in the source that several mutants change.
const (
	waitingFile  = "driver/memory/waiting.go"
	addPlace     = `	d.Message, d.Failures, d.LastError = j.msg, j.failures, j.lastError`
	requeuePlace = `	j.at = 0
	if j.msg.Group == "" {
		j.seq = b.nextSeq()
	}
	b.wait(j, since)`
	crashPlace = `	for _, list := range q.running.lists {
		for list.first != nil {
			q.lose(list.first, now)
		}
	}
	q.running.dropUnused()
}`
)

// contractMutants break what the memory driver promises of any call: what it returns, its bounds, and what comes after.
var contractMutants = []Mutant{
	at("says of a lost delivery with an error that has no fate", settleFile, `		return nil, faults.LeaseLost("settle", q.name)`, `		if MUTANT {
			return nil, driver.ErrLeaseLost
		}
		OLD`, "settle-partly-lost", "lost-settle"),
	at("says of a lost extension with an error that has no fate", leaseFile, lostLeasePlace, `			if MUTANT {
				errs = fault.Set(errs, len(deliveries), i, driver.ErrLeaseLost)
				continue
			}
OLD`, "extend-partly-lost", "lost-extend"),
	at("takes a Receive of no job for one of one", receiveFile, `	if err := faults.CheckReceive(q.name, max, maxBatch); err != nil {`, `	if MUTANT && max < 1 {
		max = 1
	}
OLD`, "receive-bounds"),
	at("takes a negative delay for none", storeFile, `	if err := faults.CheckDelay(op, queue, m, maxDelay); err != nil {`,
		`	if err := faults.CheckDelay(op, queue, m, maxDelay); err != nil && !(MUTANT && m.Delay < 0) {`, "delay-bounds"),
	at("trims the text of errors", jobFile, recordPlace, `	OLD
	if MUTANT {
		j.lastError = strings.TrimSpace(j.lastError)
	}
`, "history-text"),
	at("keeps the lost holders on a retry with a delay", settleFile, `		j.record(s)
		if s.Delay > 0 {`, `		lost := j.redeliveries
		j.record(s)
		if MUTANT && s.Delay > 0 {
			j.redeliveries = lost
		}
		if s.Delay > 0 {`, "retry-forgets-redeliveries"),
	at("extends from the old deadline", leaseFile, keepPlace, `		if MUTANT {
			old := l.deadline
			l.list.remove(l)
			sub.leases.push(l, old)
			continue
		}
OLD`, "extend-ends"),
	at("hands out times in the zone of the broker", runningFile, addPlace, `OLD
	if MUTANT {
		d.EnqueuedAt = d.EnqueuedAt.In(time.FixedZone("here", 3600))
	}`, "fields", "bounds-numbers"),
	at("hands out empty headers where there are none", runningFile, addPlace, `OLD
	if MUTANT {
		if d.Headers == nil {
			d.Headers = map[string]string{}
		}
	}`, "bodies", "fields"),
	at("counts deliveries in a byte", runningFile, `	j.deliveries++
`, `	OLD
	if MUTANT {
		j.deliveries = int(uint8(j.deliveries))
	}
`, "import-waiting"),
	at("holds retries no longer than a day", settleFile, `			q.schedule(j, now+s.Delay)`, `			if MUTANT {
				q.schedule(j, now+min(s.Delay, 24*time.Hour))
				return nil, nil
			}
			OLD`, "retry-longest"),
	{Name: "returns the same slice of deliveries again", Killers: []string{"returns-owned"}, Changes: []Change{
		{receiveFile, `	deliveries := make([]*driver.Delivery, n)`, `	deliveries := make([]*driver.Delivery, n)
	if MUTANT {
		deliveries = mutantReturns(sub).deliveries[:n]
	}`}}},
	{Name: "returns the same slice of errors again", Killers: []string{"returns-owned"}, Changes: []Change{
		{settleFile, `	q.capacity.free(bytes, jobs)
	q.end(now)
	return errs`, `	q.capacity.free(bytes, jobs)
	if MUTANT && errs != nil {
		errs = append(mutantReturns(q).errs, errs...)
	}
	q.end(now)
	return errs`}}},
	{Name: "returns the same slice of results again", Killers: []string{"returns-owned"}, Changes: []Change{
		{storeFile, storedPlace, `OLD
	if MUTANT && results != nil {
		results = append(mutantReturns(q).results, results...)
	}`}}},
	at("ignores the window of an atomic enqueue", enqueueFile, `		q.store(j, messages[i], now)`, `		if MUTANT {
			m := *messages[i]
			m.DedupWithin = 0
			q.store(j, &m, now)
			continue
		}
		OLD`, "window-atomic"),
	at("stores what fits of an atomic enqueue", enqueueFile, `	jobs, err := d.broker.newJobs(op, queue, messages)`, `	OLD
	for _, m := range messages {
		if MUTANT && err != nil && len(messages) > 1 {
			_ = d.EnqueueAtomic(ctx, queue, []*driver.Message{m})
		}
	}`, "body-too-large-driver"),
	at("takes a key again on redrive whose window is over", deadLetterFile, forgetPlace, `	if MUTANT && j.msg.DedupKey != "" && q.keys.find(j.msg.DedupKey) == nil {
		j.keyNumber = q.keys.add(j.msg.DedupKey, j.msg.ID, now+q.window)
	}
OLD`, "window-redrive"),
	at("drops a redriven job whose key another has taken", deadLetterFile, redrivePlace, `	if k := q.keys.find(j.msg.DedupKey); MUTANT && j.msg.DedupKey != "" && k != nil && k.number != j.keyNumber {
		return
	}
OLD`, "window-redrive"),
	at("takes a key for a job that it refuses", storeFile, `		if err := d.broker.fits(op, queue, m, entryOf(entries, i), headers); err != nil {`, `		if err := d.broker.fits(op, queue, m, entryOf(entries, i), headers); err != nil {
			if q := d.broker.queue(queue); MUTANT && q != nil && m.DedupKey != "" {
				q.begin()
				if q.keys.find(m.DedupKey) == nil {
					q.keys.add(m.DedupKey, m.ID, q.clock.now()+q.window)
				}
				q.mu.Unlock()
			}`, "body-too-large-driver"),
	at("refuses what is behind a message that it refuses", storeFile, `			results = setResult(results, len(messages), i, driver.Result{Err: err})
			jobs = append(jobs, nil)`, `			OLD
			if MUTANT && entries == nil {
				for k := i + 1; k < len(messages); k++ {
					results[k] = driver.Result{Err: err}
				}
				break
			}`, "body-too-large-driver"),
	at("refuses a whole call for a message that it refuses", storeFile, `			results = setResult(results, len(messages), i, driver.Result{Err: err})
			jobs = append(jobs, nil)`, `			if MUTANT && entries == nil {
				return fault.Results(len(messages), err)
			}
			OLD`, "body-too-large-driver"),
	at("reports a message that it refuses at the place before", storeFile, `			results = setResult(results, len(messages), i, driver.Result{Err: err})
			jobs = append(jobs, nil)`, `			if MUTANT && entries == nil {
				results = setResult(results, len(messages), max(i-1, 0), driver.Result{Err: err})
				jobs = append(jobs, nil)
				continue
			}
			OLD`, "body-too-large-driver"),
	at("frees no key on a purge of many", purgeFile, `			q.drop(j, driver.StateWaiting)`, `			if MUTANT && n > 0 {
				q.backlog.remove(j, driver.StateWaiting)
				n++
				continue
			}
			OLD`, "purge-many"),
	at("stores the first thousand of a call that is too large, and confirms all", storeFile, `	if err := tooMany(op, queue, len(messages)); err != nil {`, `	if MUTANT && len(messages) > maxBatch {
		return d.storeAll(ctx, op, queue, messages[:maxBatch], entries)
	}
	if err := tooMany(op, queue, len(messages)); err != nil {`, "bounds-driver"),
	at("settles the first thousand of a call that is too large, and confirms all", settleFile, `	q, _, now, err := c.begin(ctx, "settle", len(settlements))`, `	if MUTANT && len(settlements) > maxBatch {
		return c.Settle(ctx, settlements[:maxBatch])
	}
	OLD`, "bounds-driver"),
	at("lets groups go on while their heads come back after a restart", stateFile, crashPlace, `	for _, list := range q.running.lists {
		for l := list.first; MUTANT && l != nil; l = l.next {
			if l.job.msg.Group != "" {
				q.dropFromGroup(l.job)
				q.groups.add(l.job.msg.Group, l.job)
			}
		}
	}
OLD`, "restart-keeps"),
	at("forgets the failures of what is scheduled in a restart", stateFile, crashPlace, `	if j := q.scheduled.first(); MUTANT && j != nil {
		j.failures, j.lastError = 0, ""
	}
OLD`, "restart-keeps"),
	at("loses the headers of dead letters in a restart", stateFile, crashPlace, `	if j := q.dead.first(); MUTANT && j != nil {
		j.msg.Headers = nil
		j.reason = ""
	}
OLD`, "restart-keeps"),
	at("redrives to the front of the group", deadLetterFile, redrivePlace, `	if MUTANT && j.msg.Group != "" && q.groups.first(j.msg.Group) != nil && q.groups.first(j.msg.Group).seq != 0 {
		if f := q.groups.first(j.msg.Group); q.ready[f.rank()].n > 0 && q.ready[f.rank()].first() == f {
			f.msg, j.msg = j.msg, f.msg
		}
	}
OLD`, "group-redrive"),
	at("hands out what is due before higher levels", backlogFile, requeuePlace, `	if MUTANT && j.at != 0 && j.msg.Group == "" {
		j.at = 0
		j.seq = b.nextSeq()
		b.waiting.push(j, since)
		b.ready[0].push(j)
		b.nready++
		return
	}
OLD`, "priority-due"),
	at("sorts what one Receive returns by its enqueue", receiveFile, `	q.end(now)
	return deliveries`, `	if MUTANT {
		for i := range deliveries {
			for k := i; k > 0 && deliveries[k].EnqueuedAt.Before(deliveries[k-1].EnqueuedAt); k-- {
				deliveries[k], deliveries[k-1] = deliveries[k-1], deliveries[k]
			}
		}
	}
	q.end(now)
	return deliveries`, "priority-batch"),
	at("sets no timer on resume", pauseFile, `	q.paused = false
	q.end(now)`, `	q.paused = false
	if MUTANT {
		q.wake()
		q.mu.Unlock()
		return nil
	}
	q.end(now)`, "wakes-resume-due"),
	at("keeps delays running only while it is not paused", pauseFile, `	q.paused = false
	q.end(now)`, `	if MUTANT && q.scheduled.n > 0 {
		q.scheduled.last().at += 2e9
	}
	OLD`, "wakes-resume-due"),
	at("receives on a context that has ended", receiveFile, `	if err := ctx.Err(); err != nil {
		return nil, err
	}`, `	if err := ctx.Err(); err != nil && !MUTANT {
		return nil, err
	}`, "context-ended"),
	at("has no age of what waits for its group", waitingFile, `	if w.oldest == nil {`, `	if MUTANT && w.oldest != nil && w.oldest.prev != nil {
		return 0
	}
	if w.oldest == nil {`, "depth-group"),
}
