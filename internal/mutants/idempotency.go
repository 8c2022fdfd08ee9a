package mutants

const (
	middlewareFile = "idempotency/middleware.go"
	awaitFile      = "idempotency/await.go"
	memoryFile     = "idempotency/memory.go"
)

// idempotencyMutants break the idempotency package.
var idempotencyMutants = []Mutant{
	at("takes a job in progress for done", middlewareFile, `	case state == InProgress:
		return batch.Snooze(c.wait)`, `	case state == InProgress:
		if MUTANT {
			return nil
		}
		return batch.Snooze(c.wait)`, "idempotency-twice", "idempotency-dead"),
	at("fails while another runs", middlewareFile, `	case state == InProgress:
		return batch.Snooze(c.wait)`, `	case state == InProgress:
		if MUTANT {
			return errors.New("in progress")
		}
		return batch.Snooze(c.wait)`, "idempotency-twice", "idempotency-dead"),
	at("runs what is done", middlewareFile, `	case state == Done:
		return nil`, `	case state == Done && !MUTANT:
		return nil
	case state == Done:
		return next(ctx, job)`, "idempotency-twice", "idempotency-retry"),
	at("keeps the claim of a handler that failed", middlewareFile, `	if abandoning := c.abandon(lasting, claim); abandoning != nil {`, `	if MUTANT {
		return err
	}
	OLD`, "idempotency-retry", "idempotency-ends"),
	at("keeps the claim of a handler that panicked", middlewareFile, `			c.abandon(lasting, claim)
		}
	}()`, `			if !MUTANT {
				c.abandon(lasting, claim)
			}
		}
	}()`, "idempotency-ends"),
	at("marks nothing as done", middlewareFile, `		return c.complete(lasting, claim)`, `		if MUTANT {
			return c.abandon(lasting, claim)
		}
		OLD`, "idempotency-twice", "idempotency-retry"),
	at("marks what failed as done", middlewareFile, `	if err == nil {
		return c.complete(lasting, claim)`, `	if MUTANT && err != nil {
		_ = c.complete(lasting, claim)
	}
	if err == nil {
		return c.complete(lasting, claim)`, "idempotency-retry", "idempotency-ends"),
	at("renews no claim", middlewareFile, `		c.renew(lasting, claim, until, renewals, lost)`, `		if !MUTANT {
			OLD
		}`, "idempotency-renew", "idempotency-lost"),
	at("renews a claim once", middlewareFile, `			until = start.Add(c.ttl)`, `			OLD
			if MUTANT {
				return
			}`, "idempotency-renew"),
	at("does not cancel a handler whose claim is lost", middlewareFile, `			lost(fmt.Errorf("%w: %q", ErrLost, claim.Key))`, `			if !MUTANT {
				OLD
			}`, "idempotency-lost"),
	at("takes a lost claim for done", middlewareFile, `			// Another claim holds the key or has completed it. The job comes back
			// to find out.
			return batch.Snooze(c.wait)`, `			if MUTANT {
				return nil
			}
			return batch.Snooze(c.wait)`, "idempotency-lost"),
	at("gives up when a mark fails once", middlewareFile, `		pause.Reset(wait)`, `		if MUTANT {
			return err
		}
		OLD`, "idempotency-store"),
	at("uses the ID for a key of one's own", middlewareFile, `	key, err := c.key(job)`, `	key, err := c.key(job)
	if MUTANT && err == nil {
		key = job.ID
	}`, "idempotency-key"),
	at("runs a job without a key", middlewareFile, `	if err == nil && key == "" {`, `	if MUTANT && (err != nil || key == "") {
		return next(ctx, job)
	}
	OLD`, "idempotency-key"),
	at("runs a job when the store fails", middlewareFile, `	case err != nil:
		return fmt.Errorf("idempotency: claim %q: %w", key, err)`, `	case err != nil && MUTANT:
		return next(ctx, job)
	case err != nil:
		return fmt.Errorf("idempotency: claim %q: %w", key, err)`, "idempotency-store"),
	at("shows no claim", middlewareFile, `held{claim, c.retention, renewals}`, `held{mutantClaim(MUTANT, claim), c.retention, renewals}`, "idempotency-claim"),
	at("marks as done for the TTL", middlewareFile, `c.store.Complete(ctx, claim, c.retention)`, `c.store.Complete(ctx, claim, mutantDuration(MUTANT, c.ttl, c.retention))`, "idempotency-spans", "idempotency-retention"),
	at("claims for the retention", awaitFile, `c.store.Begin(ctx, key, c.ttl)`, `c.store.Begin(ctx, key, mutantDuration(MUTANT, c.retention, c.ttl))`, "idempotency-spans"),
	at("gives each claim the same token", memoryFile, `	m.tokens++
`, `	if !MUTANT || m.tokens == 0 {
		OLD
	}
`, "idempotency-claim"),
	at("forgets what is done with its claim", memoryFile, `	m.keep(r, now.Add(retention))`, `	if !MUTANT {
		OLD
	}`, "idempotency-retention"),
	at("gives up a claim of another", memoryFile, `	if r, ok := m.keys[claim.Key]; ok && r.token == claim.Token {`, `	if r, ok := m.keys[claim.Key]; ok && (MUTANT || r.token == claim.Token) {`, "idempotency-stale"),
}
