package mutants

const (
	storeFile      = "driver/memory/store.go"
	enqueueFile    = "driver/memory/enqueue.go"
	dedupFile      = "driver/memory/dedup.go"
	deadLetterFile = "driver/memory/deadletter.go"
	cursorFile     = "driver/memory/cursor.go"
	inspectFile    = "driver/memory/inspect.go"
	brokerFile     = "driver/memory/broker.go"
	queueFile      = "driver/memory/queue.go"
	pauseFile      = "driver/memory/pause.go"
	purgeFile      = "driver/memory/purge.go"
)

// The places in the source that several mutants change.
const (
	duplicatePlace = `			results = setResult(results, len(jobs), i, driver.Result{Duplicate: true, DuplicateOf: k.id})`
	rememberPlace  = `		j.keyNumber = q.keys.add(m.DedupKey, m.ID, now+within)`
	delayPlace     = `	if m.Delay > 0 {
		q.admitLater(j, now+m.Delay)
		return
	}`
	forgetPlace = `	q.removeDead(j)
	j.at = 0
	j.forget()`
	pickPlace = `			for j := q.deadByID.first(id); j != nil; j = q.deadByID.first(id) {`
	dropPlace = `	q.backlog.remove(j, state)`
	listPlace = `		if len(list) == max {`
)

// storageMutants break how the memory driver stores jobs, remembers keys and keeps dead letters.
var storageMutants = []Mutant{
	at("reports a duplicate at the place before", storeFile, duplicatePlace, `				if MUTANT {
					results = setResult(results, len(jobs), max(i-1, 0), driver.Result{Duplicate: true, DuplicateOf: k.id})
				} else {
					OLD
				}`, "enqueue-partly-duplicate", "dedup-within-call"),
	at("says that a duplicate is of the last one", storeFile, duplicatePlace, `				if MUTANT && i > 0 {
					results = setResult(results, len(jobs), i, driver.Result{Duplicate: true, DuplicateOf: messages[i-1].ID})
				} else {
					OLD
				}`, "enqueue-partly-duplicate", "dedup-many"),
	at("stores none behind a duplicate", storeFile, duplicatePlace, `				OLD
				if MUTANT {
					break
				}`, "enqueue-partly-duplicate", "dedup-many"),
	at("fails for a duplicate", storeFile, duplicatePlace, `				if MUTANT {
					results = setResult(results, len(jobs), i, driver.Result{Err: faults.Refuse(op, q.name, driver.ErrDuplicate, nil, "")})
				} else {
					OLD
				}`, "dedup"),
	at("prolongs the window with each duplicate", storeFile, duplicatePlace, `				OLD
				if MUTANT {
					q.keys.free(k.key, k.number)
					q.keys.add(k.key, k.id, now+(k.ends-now)+3e9)
				}`, "window-slides"),
	at("takes the window of a duplicate", storeFile, duplicatePlace, `				OLD
				if MUTANT && messages[i].DedupWithin > 0 {
					q.keys.free(k.key, k.number)
					q.keys.add(k.key, k.id, now+messages[i].DedupWithin)
				}`, "window-of-first"),
	at("has a window that is a tenth too short", storeFile, rememberPlace, `		if MUTANT {
			within -= within / 10
		}
OLD`, "window-whole", "window-again"),
	at("counts the window of a delayed job from its time", storeFile, rememberPlace, `		if MUTANT {
			within += m.Delay
		}
OLD`, "window-delayed"),
	at("counts the window from EnqueuedAt", storeFile, rememberPlace, `		if MUTANT {
			within += time.Until(m.EnqueuedAt)
		}
OLD`, "clock-key"),
	at("takes keys for equal whatever their case", storeFile, `		if k := q.first(&j.msg, e); k != nil {`, `		k := q.first(&j.msg, e)
			if MUTANT && k == nil && e == nil && j.msg.DedupKey != "" {
				for key, other := range q.keys.byKey.entries {
					if strings.EqualFold(key, j.msg.DedupKey) {
						k = other
					}
				}
			}
			if k != nil {`, "dedup-keys", "alike-keys"),
	at("takes keys for equal that begin with 100 equal bytes", storeFile, `		if k := q.first(&j.msg, e); k != nil {`, `		k := q.first(&j.msg, e)
			if MUTANT && k == nil && e == nil && len(j.msg.DedupKey) > 100 {
				for key, other := range q.keys.byKey.entries {
					if strings.HasPrefix(key, j.msg.DedupKey[:100]) {
						k = other
					}
				}
			}
			if k != nil {`, "alike-keys"),
	at("frees a key when its job is released", settleFile, releasePlace, `		if MUTANT {
			q.keys.free(l.job.msg.DedupKey, l.job.keyNumber)
		}
OLD`, "window-whole"),
	at("frees a key when its holder vanishes", stateFile, vanishPlace, `	if MUTANT {
		q.keys.free(j.msg.DedupKey, j.keyNumber)
	}
OLD`, "window-whole"),
	at("frees a key when its job is done", settleFile, `		q.dropFromGroup(j)
		return j, nil`, `		if MUTANT {
			q.keys.free(j.msg.DedupKey, j.keyNumber)
		}
OLD`, "dedup-after-done", "window-whole"),
	at("frees a key when its job dies", settleFile, deadPlace, `		if MUTANT {
			q.keys.free(j.msg.DedupKey, j.keyNumber)
		}
OLD`, "dedup-after-dead"),
	at("frees no key when all dead letters are discarded", deadLetterFile, `func discard(q *queueState, j *job, _ instant) {`, `func discard(q *queueState, j *job, _ instant) {
	if MUTANT && q.dead.n > 1 {
		q.backlog.remove(j, driver.StateDead)
		return
	}
`, "dedup-removed-many"),
	at("delays from EnqueuedAt", storeFile, delayPlace, `	if MUTANT && m.Delay > 0 {
		q.admitLater(j, now+m.Delay+time.Until(m.EnqueuedAt))
		return
	}
OLD`, "clock-delay"),
	at("changes the caller's message", storeFile, delayPlace, `	if MUTANT && m.Delay > 0 {
		defer func() { m.Delay = 0 }()
	}
OLD`, "delay-mixed"),
	at("cuts trailing spaces from header values", jobFile, `	j.msg.Delay, j.msg.DedupWithin = 0, 0
`, `	OLD
	if MUTANT {
		j.msg.Headers = mutantHeaders(j.msg.Headers, strings.TrimSpace)
	}
`, "alike-headers"),
	at("cuts header values at a NUL", jobFile, `	j.msg.Delay, j.msg.DedupWithin = 0, 0
`, `	OLD
	if MUTANT {
		j.msg.Headers = mutantHeaders(j.msg.Headers, func(v string) string { v, _, _ = strings.Cut(v, "\x00"); return v })
	}
`, "alike-headers", "headers"),
	at("drops headers with empty values", jobFile, `	j.msg.Delay, j.msg.DedupWithin = 0, 0
`, `	OLD
	if MUTANT {
		j.msg.Headers = mutantHeaders(j.msg.Headers, nil)
	}
`, "fields", "alike-headers"),
	at("cuts IDs after 127 bytes", jobFile, `	j.msg.Delay, j.msg.DedupWithin = 0, 0
`, `	OLD
	if MUTANT {
		j.msg.ID = j.msg.ID[:min(len(j.msg.ID), 127)]
	}
`, "fields", "alike-texts"),
	at("stores times in seconds", jobFile, `	j.msg.Delay, j.msg.DedupWithin = 0, 0
`, `	OLD
	if MUTANT && !j.msg.ExpiresAt.IsZero() {
		j.msg.ExpiresAt = j.msg.ExpiresAt.Truncate(time.Second)
	}
`, "bounds-numbers"),
	at("takes a deadline at the epoch for none", jobFile, `	j.msg.Delay, j.msg.DedupWithin = 0, 0
`, `	OLD
	if MUTANT && j.msg.ExpiresAt.UnixMilli() == 0 {
		j.msg.ExpiresAt = time.Time{}
	}
`, "bounds-numbers"),
	at("stores no deadline beyond 2106", jobFile, `	j.msg.Delay, j.msg.DedupWithin = 0, 0
`, `	OLD
	if MUTANT && j.msg.ExpiresAt.Unix() > 1<<32 {
		j.msg.ExpiresAt = time.Unix(1<<32, 0)
	}
`, "bounds-numbers"),
	at("stores timeouts in seconds", jobFile, `	j.msg.Delay, j.msg.DedupWithin = 0, 0
`, `	OLD
	if MUTANT {
		j.msg.Timeout = j.msg.Timeout.Round(time.Second)
	}
`, "fields", "bounds-numbers"),
	at("takes bodies below its limit only", storeFile, `	case len(m.Body) > b.limits.MaxBody:`, `	case MUTANT && len(m.Body) == b.limits.MaxBody:
		return tooLarge(op, queue, nil)
	OLD`, "bounds-body"),
	at("takes headers below its limit only", storeFile, `	case headers > maxHeaders:`, `	case MUTANT && headers == maxHeaders:
		return tooLarge(op, queue, nil)
	OLD`, "bounds-body"),
	at("takes one message less than its batch", storeFile, `	if n > maxBatch {`, `	if MUTANT && n == maxBatch {
		return tooLarge(op, queue, nil)
	}
	OLD`, "enqueue-batch"),
	at("takes one settlement less than its batch", "driver/memory/consumer.go", `	if n > maxBatch {`, `	if MUTANT && n == maxBatch {
		return nil, nil, 0, tooLarge(op, c.name, nil)
	}
	OLD`, "settle-batch", "extend-batch"),

	at("redrives the first thousand", deadLetterFile, `				more = true
				break`, `				more = !MUTANT
				break`, "dead-many"),
	at("redrives the first hundred IDs", deadLetterFile, `	for ids := which.IDs; len(ids) > 0; {`, `	if MUTANT && len(which.IDs) > 100 {
		which.IDs = which.IDs[:100]
	}
	OLD`, "dead-many"),
	at("counts IDs that are no dead letters", deadLetterFile, pickPlace, `			if MUTANT && q.deadByID.first(id) == nil {
				done++
			}
OLD`, "redrive-none", "redrive-one", "no-op"),
	at("redrives one of those with an ID", deadLetterFile, `				do(q, j, now)
				done++
			}`, `				do(q, j, now)
				done++
				if MUTANT {
					break
				}
			}`, "same-id-dead"),
	at("stops at an ID that is no dead letter", deadLetterFile, pickPlace, `			if MUTANT && q.deadByID.first(id) == nil {
				break
			}
OLD`, "redrive-one", "dead-many"),
	at("keeps the failures on redrive", deadLetterFile, forgetPlace, `	if MUTANT {
		failures := j.failures
		defer func() { j.failures = failures }()
	}
OLD`, "redrive-clean", "keeps-on-redrive"),
	at("keeps the deliveries on redrive", deadLetterFile, forgetPlace, `	if MUTANT {
		deliveries := j.deliveries
		defer func() { j.deliveries = deliveries }()
	}
OLD`, "redrive-clean", "keeps-on-redrive"),
	at("keeps the error on redrive", deadLetterFile, forgetPlace, `	if MUTANT {
		text := j.lastError
		defer func() { j.lastError = text }()
	}
OLD`, "redrive-clean"),
	at("keeps the lost holders on redrive", deadLetterFile, forgetPlace, `	if MUTANT {
		defer func() { j.redeliveries = 1 }()
	}
OLD`, "retry-forgets-redeliveries", "keeps-on-redrive"),
	at("redrives without the group", deadLetterFile, forgetPlace, `	if MUTANT {
		j.msg.Group = ""
	}
OLD`, "group-redrive"),
	at("redrives at the normal level", deadLetterFile, forgetPlace, `	if MUTANT {
		j.msg.Level = 0
	}
OLD`, "priority-after-redrive", "keeps-on-redrive"),
	at("wakes nobody on redrive", deadLetterFile, `		ids = ids[n:]
		q.end(now)`, `		if MUTANT {
			ids = ids[n:]
			q.mu.Unlock()
			continue
		}
OLD`, "wakes-redrive"),
	at("has dead letters in the order of their enqueue", backlogFile, `	j.at, j.seq = at, b.nextSeq()`, `	if MUTANT {
		at = instant(j.seq)
	}
	OLD`, "dead-order"),
	at("has dead letters in the order of EnqueuedAt", backlogFile, `	j.at, j.seq = at, b.nextSeq()`, `	if MUTANT {
		at += instant(time.Until(j.msg.EnqueuedAt))
	}
	OLD`, "clock-dead"),
	at("shows the last of a page again", cursorFile, listPlace, `		if MUTANT && len(list) == max && max > 1 {
			c := cursorOf(last)
			c.seq--
			next = c.text(state)
			return false
		}
OLD`, "dead-paging", "list-paging"),
	at("hides one between two pages", cursorFile, listPlace, `		if MUTANT && len(list) == max {
			next = cursorOf(j).text(state)
			return false
		}
OLD`, "dead-paging", "list-paging", "list-many"),
	at("shows at most 500 of a page", cursorFile, listPlace, `		if MUTANT && len(list) == 500 {
			return false
		}
OLD`, "dead-many", "list-many"),
	at("shows a page more than it was asked for", cursorFile, listPlace, `		if MUTANT {
			max++
		}
OLD`, "dead-paging"),
	at("finds a job in the first thousand only", inspectFile, `			if j.msg.ID == id {
				found = j
			}`, `			if mutantSeen++; MUTANT && mutantSeen%1037 > 1000 {
				return false
			}
OLD`, "find-many"),
	at("finds a job by the beginning of its ID", inspectFile, `			if j.msg.ID == id {
				found = j
			}`, `			if MUTANT && strings.HasPrefix(j.msg.ID, id) {
				found = j
			}
OLD`, "alike-find"),
	at("deletes what it finds without its key", stateFile, dropPlace, `	if MUTANT {
		q.backlog.remove(j, state)
		return
	}
OLD`, "dedup-delete", "dedup-discard"),
}
