// Command refused does not compile: it looks into the queue of a broker that shows nothing of it.
package main

import (
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
)

// Welcome is a job.
type Welcome struct{}

// Kind names it.
func (Welcome) Kind() string { return "email.welcome" }

func main() {
	var t testing.TB
	emails := batch.NewQueue(memory.NewPortable(), "emails") // a driver without capabilities
	batchtest.RequireEnqueued[Welcome](t, emails)
	batchtest.RequireEnqueuedMany[Welcome](t, emails, 2)
	batchtest.RequireExactly(t, emails)
	batchtest.RequireNone[Welcome](t, emails)
	batchtest.RequireEmpty(t, emails)
	batchtest.RequireDead[Welcome](t, emails)              // compiles: every broker has dead letters
	batchtest.NewJob(t, Welcome{}, batchtest.Middleware()) // is for Work
}
