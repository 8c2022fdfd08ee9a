package mutants

// helpers are files that the changes of a package use, by the folder of the package.
var helpers = map[string]string{".": coreHelpers, "driver/memory": memoryHelpers, "idempotency": idempotencyHelpers}

// memoryHelpers are functions for mutants of the memory driver.
const memoryHelpers = `package memory

import (
	"context"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

var mutantMessages sync.Map

func mutantEvery(n int) bool {
	mutantSeen++
	return mutantSeen%n == 0
}

var (
	mutantDelay time.Duration
	mutantIdle  instant
	mutantSeen  int
	mutantFirst = make(map[*queueState]*subscription)
)

func mutantInt(alive bool) int {
	if alive {
		return 1
	}
	return 0
}

func mutantHeaders(headers map[string]string, change func(string) string) map[string]string {
	changed := make(map[string]string)
	for name, value := range headers {
		if change == nil && value == "" {
			continue
		}
		if change != nil {
			value = change(value)
		}
		changed[name] = value
	}
	return changed
}

// mutantScratch is where a mutant returns the same memory again.
type mutantScratch struct {
	deliveries []*driver.Delivery
	errs       []error
	results    []driver.Result
}

var (
	mutantLock      sync.Mutex
	mutantScratches = make(map[any]*mutantScratch)
)

func mutantReturns(of any) *mutantScratch {
	mutantLock.Lock()
	defer mutantLock.Unlock()
	if mutantScratches[of] == nil {
		mutantScratches[of] = &mutantScratch{make([]*driver.Delivery, 1000), make([]error, 0, 1000), make([]driver.Result, 0, 1000)}
	}
	return mutantScratches[of]
}

func mutantSettlement(alive bool, all []driver.Settlement, i int) *driver.Settlement {
	if !alive {
		return &all[i]
	}
	one := all[0]
	one.Delivery = all[i].Delivery
	return &one
}

func mutantAbandon(c *consumer, ctx context.Context, all []*driver.Delivery) {
	q, sub, now, err := c.begin(ctx, "abandon", len(all))
	if err != nil || len(all) == 0 {
		if err == nil {
			q.mu.Unlock()
		}
		return
	}
	defer q.end(now)
	if mutant("abandons what it is not asked to") {
		for sub.leases.first != nil {
			q.lose(sub.leases.first, now)
		}
	}
	for _, d := range all {
		l := q.running.held(d)
		if l == nil {
			continue
		}
		switch {
		case mutant("drops what is abandoned"):
			q.running.remove(l)
		case mutant("counts what is abandoned as failed"):
			l.job.failures++
			q.lose(l, now)
		case mutant("holds what is abandoned for ever"):
			l.list.remove(l)
			l.list = q.running.ofLength(1e15)
			l.list.push(l, now)
		}
	}
}
`

// coreHelpers are functions for mutants of the core.
const coreHelpers = `package batch

var mutantCount int

func mutantInt(alive bool) int {
	if alive {
		return 1
	}
	return 0
}

func mutantHeaders(alive bool, headers map[string]string) map[string]string {
	if alive {
		return nil
	}
	return headers
}
`

// idempotencyHelpers are functions for mutants of package idempotency.
const idempotencyHelpers = `package idempotency

import "time"

func mutantClaim(alive bool, claim Claim) Claim {
	if alive {
		return Claim{}
	}
	return claim
}

func mutantDuration(alive bool, changed, as time.Duration) time.Duration {
	if alive {
		return changed
	}
	return as
}
`
