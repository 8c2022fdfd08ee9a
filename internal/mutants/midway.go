package mutants

// The places in the source that several mutants change.
const (
	storedPlace = `	results = q.storeEach(op, jobs, messages, entries, results, reserved, now)
	q.end(now)`
	settlePlace = `	for i := range settlements {
		j, err := q.settle(`
	redrivePlace = `	q.admit(j, now)
}

// Discard`
	copyPlace = `	j := &job{msg: *m,`
)

// midwayMutants break what becomes of calls that end in the middle, or meet others.
var midwayMutants = []Mutant{
	at("says of what it stored that it is not stored", storeFile, storedPlace, `	if MUTANT {
		time.Sleep(time.Millisecond)
	}
OLD
	if MUTANT && ctx.Err() != nil {
		return fault.Results(len(messages), fail(op, queue, ctx.Err()))
	}`, "midway-enqueue"),
	at("confirms what it did not store", storeFile, storedPlace, `	if MUTANT {
		if time.Sleep(time.Millisecond); ctx.Err() != nil {
			q.end(now)
			return results
		}
	}
OLD`, "midway-enqueue"),
	at("stores half of a call whose context ends, and says nothing of it", storeFile, storedPlace, `	if MUTANT {
		if time.Sleep(time.Millisecond); ctx.Err() != nil {
			for i := len(jobs) / 2; i < len(jobs); i++ {
				jobs[i] = nil
			}
		}
	}
OLD`, "midway-enqueue"),
	at("removes before it stores", settleFile, settlePlace, `	for i := range settlements {
		if s := &settlements[i]; MUTANT && (s.Outcome == driver.OutcomeRetry || s.Outcome == driver.OutcomeDead) {
			time.Sleep(400 * time.Microsecond)
			if l := q.running.held(s.Delivery); l != nil && ctx.Err() != nil {
				q.running.remove(l) // and the process ends here
				q.end(now)
				return fault.All(len(settlements), faults.Refuse("settle", q.name, driver.ErrUnavailable, ctx.Err(), ""))
			}
		}
		j, err := q.settle(`, "midway-settle"),
	at("redrives by removing first", deadLetterFile, redrivePlace, `	if time.Sleep(0); MUTANT {
		if time.Sleep(50 * time.Microsecond); mutantEvery(5) {
			return // the process ended between the two
		}
	}
OLD`, "midway-redrive", "redrive-all"),
	at("deadlocks after a redrive whose context ended", deadLetterFile, `	return d.eachDead(ctx, "redrive", queue, which, redrive)`, `	if MUTANT {
		if time.Sleep(4 * time.Millisecond); ctx.Err() != nil {
			d.broker.queue(queue).mu.Lock()
			return 0, ctx.Err()
		}
	}
OLD`, "midway-redrive"),
	{Name: "keeps the caller's message", Killers: []string{"enqueue-owns"}, Changes: []Change{
		{jobFile, copyPlace, `	if MUTANT {
		mutantMessages.Store(m.ID, m)
	}
OLD`},
		{runningFile, `	d.Message, d.Failures, d.LastError = j.msg, j.failures, j.lastError`, `OLD
	if MUTANT {
		if kept, ok := mutantMessages.Load(j.msg.ID); ok {
			d.Body = kept.(*driver.Message).Body
		}
	}`},
	}},
	at("has the leases of the first consumer for all", stateFile, `	s := &subscription{conn: conn, leases: q.running.ofLength(lease)}`, `	if MUTANT && len(q.running.lists) > 0 {
		lease = q.running.lists[0].length
	}
	OLD`, "lease-apart"),
	at("counts delays in 32 bits", settleFile, `			q.schedule(j, now+s.Delay)`, `			if MUTANT {
				q.schedule(j, now+time.Duration(int32(s.Delay.Milliseconds()))*time.Millisecond)
				return nil, nil
			}
			OLD`, "delay-overflow"),
	at("stays with the queue that was deleted", receiveFile, `	if !errors.Is(err, driver.ErrNotFound) || c.resubscribe(ctx, sub) != nil {`, `	if MUTANT || !errors.Is(err, driver.ErrNotFound) || c.resubscribe(ctx, sub) != nil {`, "deleted-waiting", "deleted-queue"),
	at("refuses a whole import for an entry that is none", storeFile, `			results = setResult(results, len(messages), i, driver.Result{Err: err})
			jobs = append(jobs, nil)`, `			if MUTANT && entries != nil {
				return fault.Results(len(messages), err)
			}
			OLD`, "import-partly"),
	at("settles a delivery twice", runningFile, `	if l == nil || l.of != r || l.job == nil {`, `	if MUTANT && l != nil && l.job == nil && l.delivery.ID != "" {
		if l.delivery.Failures == 0 {
			l.delivery.Failures--
			l.job = &job{msg: l.delivery.Message}
			r.n++
			l.list.push(l, l.deadline)
			return l
		}
	}
	OLD`, "settle-race", "settle-twice"),
}
