package conformance

import (
	"context"
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
	{txEnqueuer, reflect.TypeFor[driver.Transactional](), []string{"batch.EnqueueTx(ctx, 0, q, nil)", "batch.EnqueueManyTx(ctx, 0, q, nil)", "batch.EnqueuePreparedTx(ctx, 0, q)", "batch.CompleteTx(ctx, 0, q, &batch.Job[batch.Raw]{})"}},
}

// partly says of which capabilities a type has some methods and not all, or one
// of the name with another signature: it was meant to have them and does not.
func partly(t reflect.Type) []error {
	var errs []error
	for _, c := range allCapabilities {
		if c.name == txEnqueuer {
			if err := partlyTransactional(t); err != nil {
				errs = append(errs, err)
			}
			continue
		}
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

// partlyTransactional is partly for driver.TxEnqueuer, whose methods depend on the type of
// the transactions: that is the one of EnqueueTx.
func partlyTransactional(t reflect.Type) error {
	var have, lack []string
	methods := make(map[string]reflect.Type)
	for _, name := range []string{"CompleteTx", "EnqueueTx", "TxType"} {
		if m, ok := t.MethodByName(name); ok {
			have = append(have, name)
			methods[name] = m.Type
		} else {
			lack = append(lack, name)
		}
	}
	if len(have) == 0 {
		return nil
	}
	why := "lacks " + strings.Join(lack, ", ")
	if len(lack) == 0 {
		if enqueue := methods["EnqueueTx"]; enqueue.NumIn() == 5 {
			tx := enqueue.In(2)
			if t.Implements(reflect.TypeFor[driver.Transactional]()) &&
				enqueue == method[[]driver.Result](t, tx, reflect.TypeFor[string](), reflect.TypeFor[[]*driver.Message]()) &&
				methods["CompleteTx"] == method[struct{}](t, tx, reflect.TypeFor[*driver.Delivery]()) {
				return nil
			}
		}
		why = "with another signature"
	}
	return fmt.Errorf("%s has %s of driver.%s but %s", t, strings.Join(have, ", "), txEnqueuer, why)
}

// method is the type of a method of t with a context and other parameters, and with an R,
// unless that is an empty struct, and an error as its results.
func method[R any](t reflect.Type, parameters ...reflect.Type) reflect.Type {
	in := append([]reflect.Type{t, reflect.TypeFor[context.Context]()}, parameters...)
	out := []reflect.Type{reflect.TypeFor[error]()}
	if r := reflect.TypeFor[R](); r != reflect.TypeFor[struct{}]() {
		out = append([]reflect.Type{r}, out...)
	}
	return reflect.FuncOf(in, out, false)
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
