package conformance

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/batch-go/batch/driver"
)

// capability is one that the driver's type may have.
type capability struct {
	name    string
	methods reflect.Type
	// uses are expressions that need it, of ctx and a queue q.
	uses []string
}

// allCapabilities are the capabilities. TestSetsAreComplete compares them with
// what package batch knows.
var allCapabilities = []capability{
	{"Prioritizer", reflect.TypeFor[driver.Prioritizer](), []string{"batch.Priority(q, batch.High)"}},
	{"Delayer", reflect.TypeFor[driver.Delayer](), []string{"batch.Delay(q, 1)", "batch.At(q, time.Now())"}},
	{"Deduplicator", reflect.TypeFor[driver.Deduplicator](), []string{`batch.Unique(q, "key")`}},
	{"Grouper", reflect.TypeFor[driver.Grouper](), []string{`batch.Group(q, "group")`}},
	{"AtomicEnqueuer", reflect.TypeFor[driver.AtomicEnqueuer](), []string{"batch.EnqueueAtomic(ctx, q, nil)"}},
	{"Inspector", reflect.TypeFor[driver.Inspector](), []string{`batch.ListJobs(ctx, q, batch.StateWaiting, "", 1)`, `batch.FindJob(ctx, q, "id")`, `batch.DeleteJob(ctx, q, "id")`}},
	{"Pauser", reflect.TypeFor[driver.Pauser](), []string{"batch.Pause(ctx, q)", "batch.Resume(ctx, q)", "batch.Paused(ctx, q)"}},
	{"Importer", reflect.TypeFor[driver.Importer](), []string{"batch.Import(ctx, q, nil)"}},
	{"QueueLister", reflect.TypeFor[driver.QueueLister](), []string{"batch.ListQueues(ctx, q.Driver())"}},
	{"Purger", reflect.TypeFor[driver.Purger](), []string{"batch.Purge(ctx, q)"}},
}

// partly says of which capabilities a type has some methods and not all, or one
// of the name with another signature: it was meant to have them and does not.
func partly(t reflect.Type) []error {
	var errs []error
	for _, c := range allCapabilities {
		if t.Implements(c.methods) {
			continue
		}
		var have, lack []string
		for m := range c.methods.Methods() {
			if _, ok := t.MethodByName(m.Name); ok {
				have = append(have, m.Name)
			} else {
				lack = append(lack, m.Name)
			}
		}
		if len(have) > 0 {
			why := "lacks " + strings.Join(lack, ", ")
			if len(lack) == 0 {
				why = "with another signature"
			}
			errs = append(errs, fmt.Errorf("%s has %s of driver.%s but %s", t, strings.Join(have, ", "), c.name, why))
		}
	}
	return errs
}

// untested says which capabilities were declared without a case that ran.
func untested(capabilities []string, ran map[string]int) []error {
	var errs []error
	for _, name := range capabilities {
		if ran[name] == 0 {
			errs = append(errs, fmt.Errorf("the driver declares %s, and no case ran for it", name))
		}
	}
	return errs
}
