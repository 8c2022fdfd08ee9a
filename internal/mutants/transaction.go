package mutants

const (
	txFile      = "driver/memory/tx.go"
	txStateFile = "driver/memory/txstate.go"
	holderFile  = "driver/memory/holder.go"
)

// The places in the source that several mutants change.
const (
	lockPlace   = `	q.running.lock(l, t.holder)`
	unlockPlace = `			c.queue.running.unlock(c.lease)`
)

// transactionMutants break transactions: of the memory driver, and what the core makes of them.
var transactionMutants = []Mutant{
	at("wakes nobody after a commit", txStateFile, `			q.end(now)
		}
	}()`, `			if MUTANT {
				q.mu.Unlock()
				continue
			}
			q.end(now)
		}
	}()`, "tx-wakes-idle", "tx-wakes-worker", "tx-complete-group"),
	{Name: "counts delays from the commit", Killers: []string{"tx-delay"}, Changes: []Change{
		{txStateFile, `			if messages[i].Delay > 0 {
				s.due = now + messages[i].Delay`, `			if MUTANT && messages[i].Delay > 0 {
				s.due = messages[i].Delay
			} else if messages[i].Delay > 0 {
				s.due = now + messages[i].Delay`},
		{txStateFile, `	if s.due > now {`, `	if MUTANT && s.due > 0 {
		s.due += now
	}
	if s.due > now {`}}},
	at("forgets keys with the commit", txStateFile, `		s.keyNumber = q.keys.add(s.msg.DedupKey, s.msg.ID, now+s.window)`, `		if !MUTANT {
			OLD
		}`, "tx-commit", "tx-key-commit", "tx-duplicate"),
	at("remembers the keys of what was rolled back", txStateFile, `		s.queue.capacity.free(s.cost(nil), 1)`, `		OLD
		if MUTANT && s.msg.DedupKey != "" {
			s.queue.mu.Lock()
			s.queue.keys.add(s.msg.DedupKey, s.msg.ID, s.queue.clock.now()+s.window)
			s.queue.mu.Unlock()
		}`, "tx-key-free", "tx-key-rollback", "tx-key-enqueue", "tx-key-atomic"),
	at("does not look for duplicates within a call in a transaction", txStateFile, `		own[key] = j.msg.ID`, `		if !MUTANT {
			OLD
		}`, "tx-duplicate"),
	at("says of a key that a transaction holds that it is taken", txStateFile, `			if held.by != h {`, `			if held.by != h && !MUTANT {`, "tx-key-commit", "tx-key-rollback", "tx-deadlock"),
	at("says of a key that a transaction holds that it is taken, in an Enqueue", storeFile, `			err := faults.Refuse(op, q.name, driver.ErrKeyHeld, fmt.Errorf("for job %s", held.id), hintHeld)
			results = setResult(results, len(jobs), i, driver.Result{Err: err})`, `			OLD
			if MUTANT {
				results[i] = driver.Result{Duplicate: true, DuplicateOf: held.id}
			}`, "tx-key-enqueue"),
	at("does not look at the keys of transactions in an atomic enqueue", enqueueFile, `		if held, ok := q.held[key]; ok {`, `		if held, ok := q.held[key]; ok && !MUTANT {`, "tx-key-atomic"),
	at("holds up a whole call for the key of a transaction", storeFile, `	q, now, reserved, err := d.beginReserved(ctx, op, queue, bytes, count)`, `	for _, m := range messages {
		if q := d.broker.queue(queue); MUTANT && q != nil {
			q.mu.Lock()
			held, ok := q.held[m.DedupKey]
			q.mu.Unlock()
			if ok {
				held.by.await(ctx, d.conn, nil)
			}
		}
	}
	OLD`, "tx-beside"),
	at("lets transactions wait for each other", holderFile, `	for next := other; t.all[next]; next = t.waits[next] {`, `	for next := other; !MUTANT && t.all[next]; next = t.waits[next] {`, "tx-deadlock"),
	{Name: "commits a transaction that was open when the broker crashed", Killers: []string{"tx-effects-restart"}, Changes: []Change{
		// Nor does the end of a handle, which the ends of others' transactions are here.
		{holderFile, `		if h.conn.usable() != nil {`, `		if h.conn.usable() != nil && (!MUTANT || h.conn.isClosed()) {`},
		{txStateFile, `	if err := fail(op, "", t.conn.usable()); err != nil {`, `	if err := fail(op, "", t.conn.usable()); err != nil && !MUTANT {`}}},
	at("removes the job before the commit", txStateFile, lockPlace, `	if MUTANT {
		j := q.running.remove(l)
		q.dropFromGroup(j)
		q.capacity.free(j.size, 1)
		return nil, nil
	}
	OLD`, "tx-complete-rollback", "tx-complete-enqueue", "tx-effects"),
	{Name: "lets a lease end in a transaction", Killers: []string{"tx-complete-outlives", "tx-effects-killed"}, Changes: []Change{
		{txStateFile, lockPlace, `	if !MUTANT {
		OLD
	}`},
		{txStateFile, unlockPlace, `			if !MUTANT {
				OLD
			}`}}},
	at("hands the job out after a rollback", txStateFile, unlockPlace, `			OLD
			if MUTANT {
				c.queue.lose(c.lease, now)
				c.queue.end(now)
				continue
			}`, "tx-complete-rollback", "tx-complete-remains"),
	at("lets no lease end after a rollback", txStateFile, unlockPlace, `			if MUTANT {
				c.lease.deadline += 1e12
			}
			OLD`, "tx-complete-remains", "tx-complete-outlives"),
	at("says that a delivery in a transaction is lost", leaseFile, `		if l.locked != nil { // for the case of a rollback`, `		if MUTANT && l.locked != nil {
			errs = fault.Set(errs, len(deliveries), i, faults.LeaseLost("extend", q.name))
			continue
		}
		OLD`, "tx-complete-outlives", "tx-complete-beside"),
	at("says that a delivery in a transaction was settled", settleFile, `	if l.locked != nil {`, `	if MUTANT && l.locked != nil {
		return nil, nil
	}
	OLD`, "tx-complete-beside"),
	at("settles a delivery in a transaction", settleFile, `	if l.locked != nil {`, `	if l.locked != nil && !MUTANT {`, "tx-complete-beside"),
	at("takes a delivery of another broker for one that is lost", txFile, `		if l != nil && l.of.home != &d.broker.capacity {`, `		if l != nil && l.of.home != &d.broker.capacity && !MUTANT {`, "tx-foreign"),
	at("keeps a group blocked after the commit", txStateFile, `		c.queue.dropFromGroup(j)`, `		if !MUTANT {
			OLD
		}`, "tx-complete-group"),
	at("takes a handler that forgets to commit for done", slotFile, `	if v.Outcome == OutcomeDone && t.inTx.Load() {`, `	if !MUTANT && v.Outcome == OutcomeDone && t.inTx.Load() {`, "tx-effects"),
	at("takes a commit for a lost lease", settlerFile, `		t.uncertain = true
	}
	if t.uncommitted`, `		t.uncertain = !MUTANT
	}
	if t.uncommitted`, "tx-effects"),
}
