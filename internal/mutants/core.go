package mutants

const (
	slotFile    = "slot.go"
	bufferFile  = "buffer.go"
	keeperFile  = "keeper.go"
	fetcherFile = "fetcher.go"
	timeoutFile = "timeout.go"
	settlerFile = "settler.go"
)

// coreMutants break a worker: its slots, its permits, the leases that it extends and what it settles.
var coreMutants = []Mutant{
	at("loses a slot when a handler ends its goroutine", slotFile, `		case !s.detached:
			s.start(1)`, `		case !s.detached:
			if MUTANT {
				return
			}
			s.start(1)`, "goexit", "permits-return", "slot-reuse"),
	at("settles nothing when a handler ends its goroutine", slotFile, `		if !over { // runtime.Goexit`, `		if !over && !MUTANT { // runtime.Goexit`, "goexit"),
	at("gives a slot's second job the timeout of the first", timeoutFile, `	if o.rings.IsZero() || t.ctx.deadline.Before(o.rings) {`, `	if o.rings.IsZero() || !MUTANT && t.ctx.deadline.Before(o.rings) {`, "slot-timers"),
	at("counts a stuck handler at its timeout", timeoutFile, `	if !now.Before(t.overdueAt) {`, `	if !now.Before(t.overdueAt) || MUTANT && !now.Before(t.ctx.deadline) {`, "idempotency-outlives"),
	at("leaves a stuck handler's slot with it", slotFile, `	if !t.state.CompareAndSwap(taskRunning, taskDetached) {
		return
	}
	s.hooks.onJobStuck(t.forHooks(s.working), &t.job, late)`, `	if MUTANT {
		return
	}
OLD`, "stuck", "permits-return"),
	at("runs a job whose lease was lost in the buffer", keeperFile, `			t.state.CompareAndSwap(taskBuffered, taskDropped)
`, `			if !MUTANT {
				OLD
			}
`, "lost-buffered"),
	at("does not cancel a handler whose lease was lost", keeperFile, `			t.ctx.cancel(ErrLeaseLost)`, `			if !MUTANT {
				OLD
			}`, "permits-lost"),
	at("cancels a handler whose lease was lost for another reason", keeperFile, `			t.ctx.cancel(ErrLeaseLost)`, `			if MUTANT {
				t.ctx.cancel(ErrShutdown)
			}
			OLD`, "permits-lost"),
	at("extends only jobs that run", keeperFile, `		due = append(due, t)`, `		if MUTANT && t.state.Load() == taskBuffered {
			continue
		}
		OLD`, "lease-buffered"),
	at("extends at nine tenths of a lease", keeperFile, `	k.interval = k.lease / 3`, `	k.interval = k.lease / 3
	if MUTANT {
		k.interval = k.lease * 15 / 10
	}`, "lease-handler"),
	at("takes the error of the first extension for all", keeperFile, `switch err := answer(errs, i, len(tasks)); {`, `switch err := answer(errs, i*(1-mutantInt(MUTANT)), len(tasks)); {`, "lost-extend-batch"),
	at("takes an extension that fails for a lost lease", keeperFile, `		case errors.Is(err, ErrLeaseLost), k.lease > 0`, `		case errors.Is(err, ErrLeaseLost), MUTANT, k.lease > 0`, "refused-extend"),
	small(at("extends the first call's worth of jobs", keeperFile, `		due = due[n:]`, `		if MUTANT {
			k.mu.Lock()
			for _, t := range due[n:] {
				t.extended = time.Now()
			}
			k.mu.Unlock()
			return
		}
		due = due[n:]`, "lease-crowd")),
	at("hands the buffer out in the order of arrival", bufferFile, `		b.tasks[Critical-t.delivery.Level].Push(t)`, `		if MUTANT {
			b.tasks[0].Push(t)
			continue
		}
		OLD`, "priority-buffer"),
	at("takes one permit too many", bufferFile, `	n = min(b.free(), most)`, `	n = min(b.free(), most)
	if MUTANT && n < most {
		n++
	}`, "permits-bound"),
	at("gives back one permit less than it took", fetcherFile, `		f.buffer.release(n - len(deliveries))`, `		f.buffer.release(n - len(deliveries) - mutantInt(MUTANT && n > 1))`, "refused-receive"),
	at("keeps the permits of a Receive that failed", fetcherFile, `	if len(deliveries) != n { //`, `	if len(deliveries) != n && !(MUTANT && err != nil) { //`, "refused-receive"),
	at("gives up when a Receive fails twice", fetcherFile, `		if !f.backOff(ctx, err, &b) {`, `		if mutantCount++; MUTANT && mutantCount > 1 {
			return
		}
		if !f.backOff(ctx, err, &b) {`, "refused-receive"),
	at("does not declare a queue again that was deleted", fetcherFile, `	if errors.Is(err, ErrNotFound) {`, `	if !MUTANT && errors.Is(err, ErrNotFound) {`, "worker-declares"),
	at("does not give back what it received as it stopped", fetcherFile, `	if !open {
		f.settler.giveBack(tasks)`, `	if !open {
		if !MUTANT {
			f.settler.giveBack(tasks)
		}`, "late-receive"),
	at("loses the jobs of its buffer when it stops", bufferFile, `	b.waiting = 0
	b.hasPermits`, `	b.waiting = 0
	if MUTANT {
		rest = nil
	}
	b.hasPermits`, "drain"),
	at("settles a handler's success as a failure if its context has ended", slotFile, `	stage := returned
	if err != nil {`, `	stage := returned
	if MUTANT && err == nil && t.ctx.Err() != nil {
		err = ErrTimeout
	}
	if err != nil {`, "timeout-success"),
	at("counts what a stop interrupts as a failure", slotFile, `			stage = interrupted`, `			if !MUTANT {
				OLD
			}`, "drain-deadline"),
	at("says of a timeout what the handler says", slotFile, `			err = fmt.Errorf("%w after %s: %w", ErrTimeout, t.job.Timeout, err)`, `			if !MUTANT {
				OLD
			}`, "timeout"),
	at("gives a handler the context of its worker", slotFile, `	err := t.handler.call(ctx, &t.job)`, `	if MUTANT {
		ctx = s.working
	}
	OLD`, "timeout", "precedence", "slot-reuse"),
	at("tells of a deadline that has passed as cancelled", "jobcontext.go", `		return (*ctx).Err()`, `		if MUTANT && (*ctx).Err() != nil {
			return context.Canceled
		}
		OLD`, "slot-timers"),
}
