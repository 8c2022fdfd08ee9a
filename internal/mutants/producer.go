package mutants

const (
	producerFile    = "producer.go"
	senderFile      = "sender.go"
	pendingFile     = "pending.go"
	declarationFile = "declaration.go"
	enqueueCoreFile = "enqueue.go"
	validateFile    = "validate.go"
	queueAPIFile    = "deadletter.go"
)

// producerMutants break how jobs are enqueued.
var producerMutants = []Mutant{
	at("gives the jobs of many the results of their neighbours", producerFile, `		r.Receipt, r.Err = p.collect(sent[k].ctx, &jobs[k], gaveUp)`, `		r.Receipt, r.Err = p.collect(sent[k].ctx, &jobs[max(k-mutantInt(MUTANT), 0)], gaveUp)`, "enqueue-many", "refused-enqueue", "bounds-call"),
	at("sends again what may be stored", declarationFile, `	again := errors.Is(err, ErrUnavailable)`, `	again := errors.Is(err, ErrUnavailable)
	if MUTANT && again {
		return true
	}`, "unknown-enqueue"),
	at("sends again what the broker has no room for", declarationFile, `	again := errors.Is(err, ErrUnavailable)`, `	again := errors.Is(err, ErrUnavailable) || MUTANT && errors.Is(err, ErrFull)`, "refused-enqueue"),
	at("sends nothing again", declarationFile, `	again := errors.Is(err, ErrUnavailable)`, `	again := !MUTANT && errors.Is(err, ErrUnavailable)`, "resent-enqueue"),
	at("sends all again for one", senderFile, `		case r.Err == nil:`, `		case r.Err == nil && len(left) > 0 && MUTANT:
			left = append(left, job.queuedAgain(nil))
		OLD`, "resent-enqueue"),
	at("takes the result of the first for all", senderFile, `		r := resultOf(results, i, len(jobs))`, `		r := resultOf(results, i*(1-mutantInt(MUTANT)), len(jobs))`, "refused-enqueue", "dedup-many"),
	at("sends jobs whose callers gave up", senderFile, `		if job.state.CompareAndSwap(jobQueued, jobSent) {`, `		if job.state.CompareAndSwap(jobQueued, jobSent) || MUTANT {`, "given-up-enqueue"),
	at("forgets jobs that wait for a transaction", "room.go", `			r.again(job)`, `			if !MUTANT {
				OLD
			}`, "tx-key-enqueue"),
	at("says of what was sent that it is not stored", pendingFile, `		return driver.Result{Err: gaveUp}, FateUnknown`, `		if MUTANT {
			return driver.Result{Err: gaveUp}, FateNotStored
		}
		OLD`, "given-up-enqueue"),
	at("never declares a queue again", declarationFile, `		r.missing, again = true, true`, `		if MUTANT {
			return false
		}
		OLD`, "worker-declares"),
	at("declares no queue before it enqueues", declarationFile, `	if d.number() != 0 {
		return context.Cause(ctx)`, `	if d.number() != 0 || MUTANT {
		return context.Cause(ctx)`, "enqueue-before-worker"),
	at("takes IDs of 129 bytes", validateFile, `	if !wire.IsToken(s) {`, `	if !wire.IsToken(s) && !(MUTANT && len(s) == maxToken+1) {`, "bounds-refused", "bounds-names"),
	at("takes IDs with spaces", validateFile, `	if !wire.IsToken(s) {`, `	if !wire.IsToken(s) && !(MUTANT && wire.IsToken(strings.ReplaceAll(s, " ", "_"))) {`, "bounds-refused", "bounds-names"),
	{Name: "takes 101 headers", Killers: []string{"bounds-refused"}, Changes: []Change{
		{"options.go", `	if len(headers) > maxHeaders {`, `	if len(headers) > maxHeaders+mutantInt(MUTANT) {`},
		{validateFile, `	if len(m.Headers) > maxHeaders {`, `	if len(m.Headers) > maxHeaders+mutantInt(MUTANT) {`},
	}},
	at("takes reserved header names", validateFile, `strings.EqualFold(name[:len(reservedPrefix)], reservedPrefix)`, `!MUTANT && strings.EqualFold(name[:len(reservedPrefix)], reservedPrefix)`, "bounds-refused", "enqueue-many"),
	at("refuses a body of exactly MaxBody", validateFile, `	if len(m.Body) > info.Limits.MaxBody {`, `	if len(m.Body)+mutantInt(MUTANT) > info.Limits.MaxBody {`, "bounds-body"),
	at("refuses headers of exactly MaxHeaders", validateFile, `size > info.Limits.MaxHeaders {`, `size+mutantInt(MUTANT) > info.Limits.MaxHeaders {`, "bounds-body"),
	at("reports a duplicate with the ID that was asked for", producerFile, `	r, fate := job.resolve(gaveUp)`, `	r, fate := job.resolve(gaveUp)
	if MUTANT && r.Duplicate {
		r.DuplicateOf = m.ID
	}`, "dedup"),
	at("reports no duplicates", producerFile, `	r, fate := job.resolve(gaveUp)`, `	r, fate := job.resolve(gaveUp)
	if MUTANT {
		r.Duplicate = false
	}`, "dedup", "dedup-many"),
	at("deletes all dead letters for none", queueAPIFile, `	if !which.All && len(which.IDs) == 0 {
		return 0, nil`, `	if MUTANT && !which.All && len(which.IDs) == 0 {
		which.All = true
	} else if !which.All && len(which.IDs) == 0 {
		return 0, nil`, "no-op"),
}
