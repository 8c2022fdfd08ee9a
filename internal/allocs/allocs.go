// Package allocs holds what code allocates within a budget, for tests.
//
// The race detector allocates, so such a test is in a file with the constraint !race. `make allocs` runs every
// test of these files, and nothing else does.
package allocs

import (
	"math"
	"runtime"
	"testing"
)

// tries is how often is measured what is above its budget. Other goroutines of the process allocate now and then:
// timers, heartbeats, connections that are made meanwhile. On a busy machine they do so more often in each try, and
// seldom in all.
const tries = 5

// Within measures some allocations, and fails the test if the least of some tries is above the budget.
func Within(t testing.TB, what string, budget float64, measure func() float64) {
	t.Helper()
	best := math.Inf(1)
	for try := 0; try < tries && best > budget; try++ {
		best = min(best, measure())
	}
	t.Logf("%s: %.2f, the budget is %.2f", what, best, budget)
	if best > budget {
		t.Errorf("%s: %.2f, the budget is %.2f", what, best, budget)
	}
}

// PerCall is how often a call of do allocates: the mean of 500, after one that is not counted.
func PerCall(do func()) float64 { return testing.AllocsPerRun(500, do) }

// Of counts how often, and how many bytes, the whole process allocates while do runs.
func Of(do func()) (count, bytes float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs), float64(after.TotalAlloc - before.TotalAlloc)
}
