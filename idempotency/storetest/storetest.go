// Package storetest checks implementations of idempotency.Store. If you write one,
// call [Run] from a test, or [RunShared] if its keys are in a database:
//
//	func TestStore(t *testing.T) {
//		storetest.RunShared(t, func(t *testing.T) idempotency.Store { return open(t) })
//	}
package storetest

import (
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
)

// rule is one of the contract's, with what checks it.
type rule struct {
	name, text string
	run        func(*probe)
}

var rules = []rule{
	{"once", "a key is fresh once, in progress until it is done, and then done", once},
	{"keys", "keys are independent, whatever bytes they are", keys},
	{"long-keys", "keys are independent, however long they are", longKeys},
	{"empty", "an empty key is refused", empty},
	{"spans", "a claim may be for a day, and a mark for ten years", spans},
	{"abandon", "a claim that is given up makes the key fresh, with a greater token", abandon},
	{"expiry", "a claim that is not renewed expires, with a greater token for the next", expiry},
	{"extend", "a claim that is renewed does not expire", extend},
	{"retention", "a key that is done is fresh again after its retention, with a greater token", retention},
	{"tokens", "the tokens of a key grow, however its claims end", tokens},
	{"fencing", "a claim that was lost does not change the next one", fencing},
	{"complete-again", "completing a claim that is complete is a no-op", completeAgain},
	{"concurrent", "of many concurrent calls one gets the claim", concurrent},
	{"takeover", "of many concurrent calls one gets a key that was given up or has expired", takeover},
	{"race", "a key that is claimed and given up again and again has one holder at a time, and growing tokens", race},
	{"context", "a call whose context has ended returns its error and changes nothing", ended},
}

// Run checks the rules of the store's contract, each in a subtest with a store that
// open makes. Stores may share their database.
func Run(t *testing.T, open func(t *testing.T) idempotency.Store) {
	runID := time.Now().Format(time.RFC3339Nano)
	for _, r := range rules {
		r.test(t, func(t *testing.T) {
			r.run(&probe{T: t, store: open(t), prefix: t.Name() + runID})
		})
	}
}

// RunShared is Run for stores that keep their keys outside of the process, in a database
// that all stores share which open makes. It also checks that they share it, and that
// what has expired is by the database's clock and not by that of the process. For that
// open is called in a bubble of package testing/synctest, where it must connect anew; the
// database must run by then, and goroutines that open starts must end with its test.
func RunShared(t *testing.T, open func(t *testing.T) idempotency.Store) {
	Run(t, open)
	runID := time.Now().Format(time.RFC3339Nano)
	rule{name: "shared", text: "claims and marks of one store are those of all"}.test(t, func(t *testing.T) {
		shared(&probe{T: t, store: open(t), prefix: t.Name() + runID}, open(t))
	})
	rule{name: "clock", text: "the database's clock decides what has expired"}.test(t, func(t *testing.T) {
		clock(t, t.Name()+runID, open)
	})
}

// test runs what checks a rule in a subtest, beside others.
func (r rule) test(t *testing.T, check func(t *testing.T)) {
	t.Run(r.name, func(t *testing.T) {
		t.Parallel()
		t.Cleanup(func() {
			if t.Failed() {
				t.Log("rule: " + r.text)
			}
		})
		check(t)
	})
}
