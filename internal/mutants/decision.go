package mutants

const (
	decideFile  = "decide.go"
	judgeFile   = "judge.go"
	handleFile  = "handle.go"
	outcomeFile = "outcome.go"
)

// decisionMutants break what becomes of a job.
var decisionMutants = []Mutant{
	at("gives a job one attempt more", decideFile, `		if keep.Failures >= f.maxAttempts {`, `		if keep.Failures >= f.maxAttempts+mutantInt(MUTANT) {`, "failure-bounds", "max-attempts"),
	at("gives a job one attempt less if it has several", decideFile, `		if keep.Failures >= f.maxAttempts {`, `		if keep.Failures >= f.maxAttempts-mutantInt(MUTANT && f.maxAttempts > 1) {`, "failure-bounds"),
	at("retries what is permanent", decideFile, `		keep.die(ReasonPermanent)`, `		if MUTANT {
			keep.retry(0, f.maxDelay)
		} else {
			OLD
		}`, "permanent"),
	at("counts no failure of what is permanent", decideFile, `	case ReturnPermanent:
		keep.Failures++`, `	case ReturnPermanent:
		keep.Failures += 1 - mutantInt(MUTANT)`, "permanent"),
	at("counts a snooze as a failure", decideFile, `		keep.retry(asked.Delay, f.maxDelay)`, `		keep.Failures += mutantInt(MUTANT)
		OLD`, "snooze-keeps"),
	at("forgets failures on a snooze", decideFile, `		keep.retry(asked.Delay, f.maxDelay)`, `		if MUTANT {
			keep.Failures = 0
		}
		OLD`, "snooze-keeps"),
	at("snoozes by the retry policy", decideFile, `		keep.retry(asked.Delay, f.maxDelay)`, `		if MUTANT {
			asked.Delay = f.backoff
		}
		OLD`, "snooze"),
	at("ignores the delay of RetryAfter", decideFile, `			delay = asked.Delay`, `			if !MUTANT {
				OLD
			}`, "retry-after"),
	at("dies of one lost holder too few", decideFile, `	case f.redeliveries > f.maxRedeliveries:`, `	case f.redeliveries > f.maxRedeliveries, MUTANT && f.redeliveries == f.maxRedeliveries:`, "redeliveries-bound"),
	at("never takes a job for poison", decideFile, `	case f.redeliveries > f.maxRedeliveries:`, `	case !MUTANT && f.redeliveries > f.maxRedeliveries:`, "poison"),
	at("runs what has expired", decideFile, `	case f.expired:`, `	case !MUTANT && f.expired:`, "expired"),
	at("drops what has expired", decideFile, `		keep.die(ReasonExpired)`, `		keep.die(ReasonExpired)
		if MUTANT {
			keep.Outcome = OutcomeDone
		}`, "expired"),
	at("makes jobs of an unknown kind dead at once", decideFile, `		return decideBounce(f, keep, ReasonUnknownKind, f.unknown)`, `		if MUTANT {
			keep.die(ReasonUnknownKind)
			return keep, f.unknown
		}
		OLD`, "unknown-kind", "unknown-kind-known-later"),
	at("counts a bounce as a failure", decideFile, `	keep.Bounces++
`, `	OLD
	keep.Failures += mutantInt(MUTANT)
`, "unknown-kind", "deploy"),
	at("bounces without a bound", decideFile, `	if f.now.Sub(keep.BouncedSince) > f.bounceTimeout {`, `	if !MUTANT && f.now.Sub(keep.BouncedSince) > f.bounceTimeout {`, "unknown-kind"),
	at("counts the time of bounces across runs", decideFile, `	keep.BouncedSince = time.Time{}`, `	if !MUTANT {
		OLD
	}`, "bounce-row"),
	at("starts the time of bounces anew with each", decideFile, `	if keep.BouncedSince.IsZero() {`, `	if MUTANT || keep.BouncedSince.IsZero() {`, "unknown-kind"),
	at("retries what cannot be decoded", decideFile, `		keep.die(ReasonUndecodable)`, `		if MUTANT {
			keep.retry(0, f.maxDelay)
		} else {
			OLD
		}`, "undecodable"),
	at("retries beyond what the driver can do", decideFile, `	if v.Delay > most {`, `	if !MUTANT && v.Delay > most {`, "retry-capped"),
	at("counts what a stop interrupts as done", decideFile, `	case interrupted:
		keep.Outcome = OutcomeRelease`, `	case interrupted:
		keep.Outcome = OutcomeRelease
		if MUTANT {
			keep.Outcome = OutcomeDone
		}`, "drain-deadline"),
	at("asks the retry policy about one failure less", judgeFile, `backoffOf(policy, f.failures+1, err)`, `backoffOf(policy, f.failures+1-mutantInt(MUTANT), err)`, "retry-policy"),
	at("ignores a kind's retry policy", judgeFile, `		if t.handler.retry != nil {`, `		if !MUTANT && t.handler.retry != nil {`, "retry-policy"),
	at("takes the worker's attempts before the kind's", judgeFile, `	if t.job.MaxAttempts == 0 && t.handler != nil {`, `	if !MUTANT && t.job.MaxAttempts == 0 && t.handler != nil {`, "precedence"),
	at("takes the worker's attempts before the job's", judgeFile, `	if t.job.MaxAttempts == 0 && t.handler != nil {`, `	if MUTANT {
		t.job.MaxAttempts = 0
	}
	OLD`, "precedence", "max-attempts", "failure-bounds"),
	at("takes the worker's timeout before the kind's", judgeFile, `	if t.job.Timeout == 0 && t.handler != nil {`, `	if !MUTANT && t.job.Timeout == 0 && t.handler != nil {`, "precedence"),
	at("takes the worker's timeout before the job's", judgeFile, `	if t.job.Timeout == 0 && t.handler != nil {`, `	if MUTANT {
		t.job.Timeout = 0
	}
	OLD`, "precedence", "timeout"),
	at("tells handlers of one attempt more", judgeFile, `		Attempt: d.Failures + 1,`, `		Attempt: d.Failures + 1 + mutantInt(MUTANT && d.Failures > 1),`, "attempts"),
	at("tells handlers no headers", judgeFile, `		Headers: d.Headers,`, `		Headers: mutantHeaders(MUTANT, d.Headers),`, "job-fields"),
	at("knows no aliases", handleFile, `	kinds := append([]string{h.kind}, h.aliases...)`, `	kinds := append([]string{h.kind}, h.aliases...)
	if MUTANT {
		kinds = kinds[:min(2, len(kinds))]
	}`, "aliases"),
	at("takes a Permanent inside of other errors for an error", outcomeFile, `func OutcomeOf(err error) Return {`, `func OutcomeOf(err error) Return {
	if inner := errors.Unwrap(err); MUTANT && inner != nil && errors.Unwrap(inner) != nil {
		return Return{Kind: ReturnRetry}
	}`, "wrapped-returns"),
}
