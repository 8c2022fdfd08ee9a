package mutants

const (
	settleFile  = "driver/memory/settle.go"
	leaseFile   = "driver/memory/lease.go"
	runningFile = "driver/memory/running.go"
	receiveFile = "driver/memory/receive.go"
	stateFile   = "driver/memory/queuestate.go"
	jobFile     = "driver/memory/job.go"
	backlogFile = "driver/memory/backlog.go"
)

// The places in the source that several mutants change.
const (
	lostPlace = `		if err != nil {
			errs = fault.Set(errs, len(settlements), i, err)
		}`
	refusedPlace = `	if err := faults.CheckSettlement(q.name, s, maxDelay); err != nil {`
	recordPlace  = `	j.failures, j.lastError = s.Failures, s.Error
`
	releasePlace = `		q.wait(q.running.remove(l), now)`
	vanishPlace  = `	j.redeliveries++
	q.wait(j, since)`
	keepPlace = `		l.list.remove(l)
		sub.leases.push(l, now)`
	wakePlace = `	for q.waiters.first != nil && q.waiters.claims < q.available() {
		q.waiters.wakeOne(q.waiters.first)
	}`
	settledPlace = `	q.capacity.free(bytes, jobs)
	q.end(now)`
	abandonPlace  = `func (*consumer) Abandon(context.Context, []*driver.Delivery) {}`
	abandonHelped = `func (c *consumer) Abandon(ctx context.Context, all []*driver.Delivery) { mutantAbandon(c, ctx, all) }`
	leasePlace    = `	if l := q.running.first(); l != nil {
		next = l.deadline
	}`
	deadPlace      = `		q.addDead(j, s.Reason, now)`
	lostLeasePlace = `			errs = fault.Set(errs, len(deliveries), i, faults.LeaseLost("extend", q.name))
			continue`
	closePlace = `		sub.gone = driver.ErrClosed // also if it was gone before`
)

// driverMutants break how the memory driver hands jobs out, holds them and settles them.
var driverMutants = []Mutant{
	at("settles what is behind a lost delivery not at all", settleFile, lostPlace, `OLD
		if MUTANT && err != nil {
			for k := i + 1; k < len(settlements); k++ {
				errs[k] = err
			}
			break
		}`, "settle-partly-lost"),
	at("reports a lost delivery at the place before", settleFile, lostPlace, `if MUTANT && err != nil {
			errs = fault.Set(errs, len(settlements), max(i-1, 0), err)
			err = nil
		}
		OLD`, "settle-partly-lost"),
	at("reports a lost delivery for all", settleFile, lostPlace, `OLD
		if MUTANT && err != nil {
			q.end(now)
			return fault.All(len(settlements), err)
		}`, "settle-partly-lost"),
	at("reports no lost delivery among others", settleFile, lostPlace, `if MUTANT && len(settlements) > 1 {
			err = nil
		}
		OLD`, "settle-partly-lost"),
	at("reports only the first lost delivery", settleFile, lostPlace, `if MUTANT && errs != nil {
			err = nil
		}
		OLD`, "settle-partly-lost"),
	at("settles all of a call as the first", settleFile, `q.settle(&settlements[i], now)`, `q.settle(mutantSettlement(MUTANT, settlements, i), now)`, "settle-each", "settle-mixed"),
	at("gives all of a call the delay of the first", settleFile, `			q.schedule(j, now+s.Delay)`, `			if MUTANT && mutantDelay == 0 {
				mutantDelay = s.Delay
			}
			if MUTANT {
				q.schedule(j, now+mutantDelay)
			} else {
				OLD
			}`, "settle-each", "retry-mixed"),
	at("drops a retry that is too long", settleFile, refusedPlace, `	OLD
		if MUTANT && s.Outcome == driver.OutcomeRetry {
			return q.running.remove(l), nil
		}`, "settle-partly-refused"),
	at("settles a retry that is too long, and says that it did not", settleFile, refusedPlace, `	OLD
		if MUTANT && s.Outcome == driver.OutcomeRetry {
			q.schedule(q.running.remove(l), now+1e12)
		}`, "settle-partly-refused"),
	at("removes what has an outcome that is none", settleFile, refusedPlace, `	OLD
		if MUTANT && s.Outcome != driver.OutcomeRetry {
			return q.running.remove(l), nil
		}`, "settle-partly-refused"),
	at("settles what is lost", settleFile, `		return nil, faults.LeaseLost("settle", q.name)`, `		if MUTANT {
			return nil, nil
		}
		OLD`, "settle-twice", "lost-settle", "settle-partly-lost"),
	at("keeps the error when a retry has none", jobFile, recordPlace, `	if MUTANT && s.Error == "" {
		s = &driver.Settlement{Failures: s.Failures, Error: j.lastError, Bounces: s.Bounces, BouncedSince: s.BouncedSince}
	}
	OLD
`, "retry-history"),
	at("never counts failures down", jobFile, recordPlace, `	before := j.failures
	OLD
	if MUTANT {
		j.failures = max(before, j.failures)
	}
`, "retry-history"),
	at("counts failures in a byte", jobFile, recordPlace, `	OLD
	if MUTANT {
		j.failures = int(uint8(j.failures))
	}
`, "retry-history"),
	at("cuts errors after 1024 bytes", jobFile, recordPlace, `	OLD
	if MUTANT {
		j.lastError = j.lastError[:min(1024, len(j.lastError))]
	}
`, "history-text", "bounds-message"),
	at("gives dead letters of a call the reason of others", settleFile, deadPlace, `if MUTANT && s.Failures > 10 {
			q.addDead(j, driver.ReasonAttempts, now)
			return nil, nil
		}
		OLD`, "settle-each"),
	at("releases behind the backlog", settleFile, releasePlace, `if MUTANT {
			q.requeue(q.running.remove(l), now)
			return nil, nil
		}
		OLD`, "comeback-release"),
	at("forgets failures on release", settleFile, releasePlace, `if MUTANT {
			l.job.failures, l.job.lastError = 0, ""
		}
		OLD`, "release"),
	at("counts a released job as a delivery less", settleFile, releasePlace, `if MUTANT {
			l.job.deliveries--
		}
		OLD`, "release", "count-deliveries", "release-many"),
	at("counts every tenth release as a lost holder", settleFile, releasePlace, `if MUTANT && l.job.deliveries%10 == 0 {
			l.job.redeliveries++
		}
		OLD`, "release-many"),
	at("releases after three seconds", settleFile, releasePlace, `if MUTANT {
			q.schedule(q.running.remove(l), now+3e9)
			return nil, nil
		}
		OLD`, "release", "wakes-release"),
	at("puts a lost job behind the backlog", stateFile, vanishPlace, `	if MUTANT {
		j.redeliveries++
		q.requeue(j, since)
		return
	}
OLD`, "comeback-loss"),
	at("forgets the failures of a lost holder", stateFile, vanishPlace, `	if MUTANT {
		j.failures = 0
	}
OLD`, "count-deliveries"),
	at("counts lost holders once", stateFile, vanishPlace, `	if MUTANT {
		j.redeliveries = 0
	}
OLD`, "release-keeps-redeliveries"),
	at("counts a lost holder as a failure", stateFile, vanishPlace, `	if MUTANT {
		j.failures++
	}
OLD`, "lease-expiry", "count-deliveries"),
	at("makes a job dead whose holder vanished twice", stateFile, vanishPlace, `	if MUTANT && j.redeliveries > 0 {
		q.dropFromGroup(j)
		q.addDead(j, "poison", since)
		return
	}
OLD`, "release-keeps-redeliveries"),
	at("does not count the delivery after a second failure", runningFile, `	j.deliveries++
`, `	if !(MUTANT && j.failures > 1) {
		OLD
	}
`, "count-deliveries", "attempts"),

	at("extends none behind a lost delivery", leaseFile, lostLeasePlace, `			if MUTANT {
				break
			}
OLD`, "extend-partly-lost"),
	at("reports a lost lease at the place before", leaseFile, lostLeasePlace, `			if MUTANT {
				errs = fault.Set(errs, len(deliveries), max(i-1, 0), faults.LeaseLost("extend", q.name))
				continue
			}
OLD`, "extend-partly-lost"),
	at("reports all leases as lost for one", leaseFile, lostLeasePlace, `			if MUTANT {
				q.end(now)
				return fault.All(len(deliveries), faults.LeaseLost("extend", q.name))
			}
OLD`, "extend-partly-lost", "lost-extend"),
	at("reports no lost lease among others", leaseFile, lostLeasePlace, `			if MUTANT && len(deliveries) > 1 {
				continue
			}
OLD`, "extend-partly-lost", "lost-extend"),
	at("extends the first hundred of a call", leaseFile, keepPlace, `		if MUTANT && i >= 100 {
			continue
		}
OLD`, "extend-batch"),
	at("extends only the first of a call", leaseFile, keepPlace, `		if MUTANT && i > 0 {
			continue
		}
OLD`, "extend-batch", "stop-holds"),
	at("extends by a fifth of a lease", leaseFile, keepPlace, `		if MUTANT {
			l.list.remove(l)
			sub.leases.push(l, now-sub.leases.length*4/5)
			continue
		}
OLD`, "lease-extend", "lease-handler"),
	at("extends all leases of a consumer with one", leaseFile, keepPlace, `		if MUTANT {
			for o := sub.leases.first; o != nil; o = o.next {
				o.deadline = now + sub.leases.length
			}
		}
OLD`, "lease-independent"),
	at("extends a lease twice at most", leaseFile, keepPlace, `		if MUTANT {
			if l.delivery.Bounces++; l.delivery.Bounces > 2 {
				continue
			}
		}
OLD`, "lease-extend"),
	at("abandons what it is not asked to", leaseFile, abandonPlace, abandonHelped, "abandon"),
	at("drops what is abandoned", leaseFile, abandonPlace, abandonHelped, "abandon"),
	at("counts what is abandoned as failed", leaseFile, abandonPlace, abandonHelped, "abandon"),
	at("holds what is abandoned for ever", leaseFile, abandonPlace, abandonHelped, "abandon"),

	at("returns one more than it was asked for", receiveFile, `q.handOut(sub, min(n, max), now)`, `q.handOut(sub, min(n, max+mutantInt(MUTANT && max > 1)), now)`, "receive-batch"),
	at("waits for as many as it was asked for", receiveFile, `	if n := q.available() - q.waiters.claims; n > 0 {`, `	if n := q.available() - q.waiters.claims; n > 0 && !(MUTANT && n < max) {`, "receive-batch"),
	at("wakes the first consumer only", stateFile, wakePlace, `	if MUTANT {
		if mutantFirst[q] == nil || mutantFirst[q].gone != nil {
			mutantFirst[q] = nil
			if q.waiters.first != nil {
				mutantFirst[q] = q.waiters.first.sub
			}
		}
		for w := q.waiters.first; w != nil && q.waiters.claims < q.available(); {
			next := w.next
			if w.sub == mutantFirst[q] {
				q.waiters.wakeOne(w)
			}
			w = next
		}
		return
	}
OLD`, "wakes-consumers", "wakes-resume"),
	at("wakes nobody on release", settleFile, settledPlace, `	if MUTANT && len(settlements) == 1 && settlements[0].Outcome == driver.OutcomeRelease {
		q.capacity.free(bytes, jobs)
		q.mu.Unlock()
		return errs
	}
OLD`, "wakes-release"),
	at("wakes nobody on a retry without delay", settleFile, settledPlace, `	if MUTANT && len(settlements) == 1 && settlements[0].Outcome == driver.OutcomeRetry && settlements[0].Delay == 0 {
		q.capacity.free(bytes, jobs)
		q.mu.Unlock()
		return errs
	}
OLD`, "wakes-retry"),
	at("wakes nobody when a retry is due", settleFile, settledPlace, `	if MUTANT && len(settlements) == 1 && settlements[0].Outcome == driver.OutcomeRetry {
		q.capacity.free(bytes, jobs)
		q.mu.Unlock()
		return errs
	}
OLD`, "wakes-retry-due"),
	at("wakes nobody when the next of a group may go on", settleFile, settledPlace, `	if MUTANT && len(settlements) == 1 && settlements[0].Delivery.Group != "" {
		q.capacity.free(bytes, jobs)
		q.mu.Unlock()
		return errs
	}
OLD`, "wakes-group"),
	at("wakes nobody when a lease ends", stateFile, leasePlace, `OLD
	if l := q.running.first(); MUTANT && l != nil && q.waiters.first != nil && l.deadline > q.clock.now() {
		next = 0
	}`, "wakes-lease"),
	at("looks for ended leases every ten seconds", stateFile, leasePlace, `OLD
	if MUTANT && next != 0 {
		next += 10e9
	}`, "lease-expiry", "wakes-lease"),
	at("wakes a consumer that waited long too late", stateFile, wakePlace, `	for MUTANT && q.waiters.first != nil && q.waiters.claims < q.available() {
		w := q.waiters.first
		q.waiters.remove(w)
		q.waiters.claims++
		w.woken = true
		late := time.Duration(0)
		if q.clock.now()-mutantIdle > 3e9 {
			late = 3 * time.Second
		}
		time.AfterFunc(late, func() { w.signal <- struct{}{} })
	}
	mutantIdle = q.clock.now()
OLD`, "wakes-idle"),
	at("stays stopped for all consumers of a handle", "driver/memory/consumer.go", `	c.end(func(q *queueState, sub *subscription) { q.stop(sub) })`, `	c.end(func(q *queueState, sub *subscription) {
		q.stop(sub)
		if MUTANT {
			for s := range q.subscriptions {
				if s.conn == sub.conn {
					q.stop(s)
				}
			}
		}
	})`, "consumers-apart"),
	at("closes all consumers of a handle", "driver/memory/consumer.go", closePlace, `		OLD
		if MUTANT {
			for s := range q.subscriptions {
				if s.conn == sub.conn {
					q.unsubscribe(s, driver.ErrClosed)
				}
			}
		}`, "consumers-apart"),
	at("gives back what a closed consumer held as a failure", "driver/memory/consumer.go", closePlace, `		OLD
		if MUTANT {
			for l := sub.leases.first; l != nil; l = l.next {
				l.job.failures++
			}
		}`, "close-keeps"),
	at("deadlocks in the second Redrive", "driver/memory/deadletter.go", `	return d.eachDead(ctx, "redrive", queue, which, redrive)`, `	n, err := d.eachDead(ctx, "redrive", queue, which, redrive)
	if MUTANT && n > 1 {
		select {}
	}
	return n, err`, "redrive-one", "redrive-all"),
	at("deadlocks in Settle beside Extend", settleFile, settledPlace, `	if MUTANT && len(settlements) > 3 {
		select {}
	}
	q.capacity.free(bytes, jobs)
	q.end(now)`, "settle-mixed"),
}
