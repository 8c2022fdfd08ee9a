package mutants

// headersPlace is where a job gets the headers of a map.
const headersPlace = `		for _, h := range all {
			job.setHeader(h.name, h.value)
		}
		return nil`

// handleMutants break rows of the core's table, what its handles do, and the store of package idempotency.
var handleMutants = []Mutant{
	at("settles a detached job again when its handler returns", slotFile, `		s.detached = true
		return`, `		s.detached = true
		if MUTANT {
			v, reason := s.judge.end(t, returned, err)
			s.settler.settle(t, v, reason, true, 0)
		}
		return`, "stuck"),
	at("retries a RetryAfter beyond the last attempt", decideFile, `		if keep.Failures >= f.maxAttempts {`, `		if keep.Failures >= f.maxAttempts && !(MUTANT && asked.Kind == ReturnRetryAfter) {`, "retry-after-last"),
	at("asks whether a job has expired before whether it is poison", judgeFile, `	if f.redeliveries > f.maxRedeliveries {
		return f
	}`, `	if MUTANT && !d.ExpiresAt.IsZero() && !f.now.Before(d.ExpiresAt) {
		f.redeliveries = 0
	}
	if f.redeliveries > f.maxRedeliveries {
		return f
	}`, "start-order"),
	at("asks whether a kind is known before whether the job has expired", judgeFile, `	if !d.ExpiresAt.IsZero() && !f.now.Before(d.ExpiresAt) {`, `	if !d.ExpiresAt.IsZero() && !f.now.Before(d.ExpiresAt) && !(MUTANT && t.handler == nil) {`, "start-order"),
	at("decodes an unknown content type with any codec", judgeFile, `	codec := j.codecs[d.ContentType]`, `	codec := j.codecs[d.ContentType]
	for _, other := range j.codecs {
		if MUTANT && codec == nil {
			codec = other
		}
	}`, "unknown-content-type"),
	at("makes a job of an unknown content type dead at once", decideFile, `		return decideBounce(f, keep, ReasonUnknownKind, f.unknown)`, `		if MUTANT && strings.Contains(f.unknown.Error(), "codec") {
			keep.die(ReasonUndecodable)
			return keep, f.unknown
		}
		OLD`, "unknown-content-type"),
	at("makes what is unreadable for now dead at once", decideFile, `	case isUnreadable(f.decoding):`, `	case !MUTANT && isUnreadable(f.decoding):`, "unreadable-later"),
	at("says that what stayed unreadable is of an unknown kind", decideFile, `		return decideBounce(f, keep, ReasonBodyUnavailable, f.decoding)`, `		if MUTANT {
			return decideBounce(f, keep, ReasonUnknownKind, f.decoding)
		}
		OLD`, "unreadable-later"),
	at("tells hooks of no cap", decideFile, `		v.Delay, v.Capped = most, true`, `		v.Delay, v.Capped = most, !MUTANT`, "retry-capped"),
	at("retries with a negative delay at the longest", decideFile, `	v.Outcome, v.Delay, v.Capped = OutcomeRetry, max(d, 0), false`, `	v.Outcome, v.Delay, v.Capped = OutcomeRetry, max(d, 0), false
	if MUTANT && d < 0 {
		v.Delay = most
	}`, "retry-capped"),
	at("says nothing of what a stop could not settle", "worker.go", `	if n := w.tally.abandoned.Load(); n > 0 {`, `	if n := w.tally.abandoned.Load(); n > 0 && !MUTANT {`, "answers-missing"),
	at("gives back what the first lane holds only", "shift.go", `	for _, l := range s.lanes {
		l.drop()
	}`, `	for i, l := range s.lanes {
		if MUTANT && i > 0 {
			l.buffer.close()
			continue
		}
		l.drop()
	}`, "drain-queues"),
	at("returns from a second Stop at once", "worker.go", `	case state >= WorkerDraining:
		select {`, `	case state >= WorkerDraining && MUTANT:
		return nil
	case state >= WorkerDraining:
		select {`, "drain-queues"),
	at("keeps the first of two headers of one name", "draft.go", `	job.message.Headers[name] = value`, `	if _, ok := job.message.Headers[name]; ok && MUTANT {
		return
	}
	OLD`, "options"),
	at("applies the options of a handle after those of a call", "options.go", `	with.defaults = slices.Clone(q.defaults)`, `	with.defaults = slices.Clone(q.defaults)
	if MUTANT {
		with.defaults = q.defaults
	}`, "options"),
	at("reads the map of the caller at each enqueue", "options.go", headersPlace, `		if MUTANT {
			for name, value := range headers {
				job.setHeader(name, value)
			}
			return nil
		}
		OLD`, "options"),
	at("keeps the map of the caller", "options.go", headersPlace, `		if MUTANT {
			job.message.Headers = headers
			return nil
		}
		OLD`, "options"),
	at("sends the jobs of an enqueue middleware in the order of the call", "enqueuer.go", `		some[i] = call.jobs[job.index]`, `		some[i] = call.jobs[job.index]
		if MUTANT {
			some[i] = call.jobs[i]
		}`, "enqueue-middleware"),
	at("redrives with a body and keeps the dead letter", "redrive.go", `	n, err := q.driver.Discard(ctx, q.name, driver.Selection{IDs: []string{dead.ID}})`, `	n, err := 1, error(nil)
	if !MUTANT {
		n, err = q.driver.Discard(ctx, q.name, driver.Selection{IDs: []string{dead.ID}})
	}`, "redrive-body"),
	at("redrives with a body at once", "redrive.go", `	e.Body, e.Delay = body, redriveHold`, `	OLD
	if MUTANT {
		e.State, e.Delay = StateWaiting, 0
	}`, "redrive-body"),
	at("redrives with a body and the history", "redrive.go", `	e.Body, e.Delay = body, redriveHold`, `	OLD
	if MUTANT {
		e.Failures, e.LastError = dead.Failures, dead.LastError
	}`, "redrive-body"),
	at("imports what is scheduled at once", "import.go", `			e.Delay = max(time.Until(e.DueAt), 0)`, `			if !MUTANT {
				OLD
			}`, "import-results"),
	at("deletes where it redrives", queueAPIFile, `	return l.apply(ctx, l.driver.Redrive, driver.Selection{IDs: ids})`, `	if MUTANT {
		return l.apply(ctx, l.driver.Discard, driver.Selection{IDs: ids})
	}
	OLD`, "dead-handle"),
	at("takes missing answers for success", "believe.go", `	return tooFew(len(errs), n)`, `	if MUTANT {
		return nil
	}
	return tooFew(len(errs), n)`, "answers-missing"),
	at("takes missing results for success", "believe.go", `	return driver.Result{Err: tooFew(len(results), n)}`, `	if MUTANT {
		return driver.Result{}
	}
	return driver.Result{Err: tooFew(len(results), n)}`, "answers-missing"),
	at("refuses to complete what the claim has completed", memoryFile, `	case r.done:
		return nil`, `	case r.done && MUTANT:
		return ErrLost
	case r.done:
		return nil`, "idempotency-again"),
	at("extends what is done", memoryFile, `	if r == nil || r.done {
		return ErrLost`, `	if r == nil || r.done && !MUTANT {
		return ErrLost`, "idempotency-again"),
	at("extends a claim that has expired", memoryFile, `	r := m.held(claim, now)
	if r == nil || r.done {`, `	r := m.held(claim, now)
	if MUTANT && r == nil && m.keys[claim.Key] == nil {
		r = &record{key: claim.Key, token: claim.Token, until: now}
		m.keys[claim.Key] = r
		heap.Push(&m.expiry, r)
	}
	if r == nil || r.done {`, "idempotency-again"),
	at("expires in the order of the claims", memoryFile, `	heap.Fix(&m.expiry, r.index)`, `	if !MUTANT {
		OLD
	}`, "idempotency-again"),
	at("takes one key more than its limit", memoryFile, `	if len(m.keys) >= m.limit {`, `	if MUTANT && len(m.keys) > m.limit || !MUTANT && len(m.keys) >= m.limit {`, "idempotency-full"),
	at("forgets a key when it is full", memoryFile, `	if len(m.keys) >= m.limit {`, `	if MUTANT && len(m.keys) >= m.limit {
		delete(m.keys, heap.Pop(&m.expiry).(*record).key)
	}
	if len(m.keys) >= m.limit {`, "idempotency-full"),
	at("says that a full store is busy", memoryFile, `		return Claim{}, 0, ErrFull`, `		if MUTANT {
			return Claim{}, InProgress, nil
		}
		OLD`, "idempotency-full"),
	at("renews no longer than its handler's context", middlewareFile, `context.WithCancel(context.WithoutCancel(ctx))`, `context.WithCancel(map[bool]context.Context{false: context.WithoutCancel(ctx), true: ctx}[MUTANT])`, "idempotency-outlives"),
}
