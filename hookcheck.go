package batch

import (
	"fmt"
	"reflect"
	"strings"
)

// hookMethod is the one method of a hook interface.
type hookMethod struct {
	// signature is how the method is declared.
	signature string
	hook      reflect.Type
	// of finds a method with that name.
	of func(reflect.Type) (reflect.Method, bool)
}

// hookMethods are the methods of all hook interfaces. Each name is a constant in a
// call of its own. If a program asks a type for a method by another name, or for all
// of its methods, the linker keeps every method of every type, which made programs
// that use this package a third larger.
var hookMethods = []hookMethod{
	{
		"OnEnqueueStart(ctx context.Context, e *batch.EnqueueStart) context.Context", reflect.TypeFor[EnqueueStartHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnEnqueueStart") },
	},
	{
		"OnEnqueueEnd(ctx context.Context, e batch.EnqueueEnd)", reflect.TypeFor[EnqueueEndHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnEnqueueEnd") },
	},
	{
		"OnJobStart(ctx context.Context, job *batch.JobInfo) context.Context", reflect.TypeFor[JobStartHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnJobStart") },
	},
	{
		"OnJobEnd(ctx context.Context, e batch.JobEnd)", reflect.TypeFor[JobEndHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnJobEnd") },
	},
	{
		"OnJobStuck(ctx context.Context, job *batch.JobInfo, overdue time.Duration)", reflect.TypeFor[JobStuckHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnJobStuck") },
	},
	{
		"OnSuspect(ctx context.Context, e batch.Suspect)", reflect.TypeFor[SuspectHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnSuspect") },
	},
	{
		"OnLeaseLost(ctx context.Context, e batch.LeaseLost)", reflect.TypeFor[LeaseLostHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnLeaseLost") },
	},
	{
		"OnCall(ctx context.Context, c batch.Call)", reflect.TypeFor[CallHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnCall") },
	},
	{
		"OnFault(ctx context.Context, e batch.Fault)", reflect.TypeFor[FaultHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnFault") },
	},
	{
		"OnWorkerState(ctx context.Context, s batch.WorkerStatus)", reflect.TypeFor[WorkerStateHook](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnWorkerState") },
	},
}

// checkHook refuses a type that is no hook, or that has a method which looks like one
// of a hook and would not be called. field names the hook in errors.
func checkHook(field string, t reflect.Type) error {
	if t == nil {
		return invalid(field, "nil", "a value that implements one of the hook interfaces")
	}
	what := fmt.Sprintf("of type %s", t)
	if name := strayMethod(t); name != "" {
		return invalid(field, what+" with a method "+name, "without methods that look like those of hooks, which are "+hookNames())
	}
	hooks := 0
	for _, m := range hookMethods {
		if _, ok := m.of(t); !ok {
			if _, ok := m.of(reflect.PointerTo(t)); ok && t.Kind() != reflect.Interface {
				return invalid(field, what, "a pointer, as its method "+m.name()+" has one as receiver")
			}
			continue
		}
		if !t.Implements(m.hook) {
			return invalid(field, what, "a value whose method "+m.name()+" is "+m.signature)
		}
		hooks++
	}
	if hooks == 0 {
		return invalid(field, what, "a value that has one of the methods "+hookNames())
	}
	return nil
}

// name is the method's.
func (m *hookMethod) name() string {
	name, _, _ := strings.Cut(m.signature, "(")
	return name
}

// hookNames are the names of the methods of all hooks.
func hookNames() string {
	var names []string
	for i := range hookMethods {
		names = append(names, hookMethods[i].name())
	}
	return strings.Join(names, ", ")
}

// strayMethod is the name of a method that t has, and that its author may have taken
// for one of a hook; empty if there is none. As for hookMethods, the names must be
// constants, so the list has those that are likely.
//
// Long: one list.
func strayMethod(t reflect.Type) string {
	has := func(_ reflect.Method, ok bool) bool { return ok }
	for _, m := range []struct {
		name  string
		found bool
	}{
		{"OnEnqueue", has(t.MethodByName("OnEnqueue"))},
		{"OnEnqueued", has(t.MethodByName("OnEnqueued"))},
		{"OnEnqueueBegin", has(t.MethodByName("OnEnqueueBegin"))},
		{"OnEnqueueStarted", has(t.MethodByName("OnEnqueueStarted"))},
		{"OnEnqueueStarts", has(t.MethodByName("OnEnqueueStarts"))},
		{"OnEnqueueDone", has(t.MethodByName("OnEnqueueDone"))},
		{"OnEnqueueEnded", has(t.MethodByName("OnEnqueueEnded"))},
		{"OnEnqueueEnds", has(t.MethodByName("OnEnqueueEnds"))},
		{"OnEnqueueError", has(t.MethodByName("OnEnqueueError"))},
		{"OnEnqueueFinish", has(t.MethodByName("OnEnqueueFinish"))},
		{"OnEnqueueFinished", has(t.MethodByName("OnEnqueueFinished"))},
		{"OnJob", has(t.MethodByName("OnJob"))},
		{"OnJobBegin", has(t.MethodByName("OnJobBegin"))},
		{"OnJobStarted", has(t.MethodByName("OnJobStarted"))},
		{"OnJobStarts", has(t.MethodByName("OnJobStarts"))},
		{"OnJobRun", has(t.MethodByName("OnJobRun"))},
		{"OnJobDone", has(t.MethodByName("OnJobDone"))},
		{"OnJobEnded", has(t.MethodByName("OnJobEnded"))},
		{"OnJobEnds", has(t.MethodByName("OnJobEnds"))},
		{"OnJobFinish", has(t.MethodByName("OnJobFinish"))},
		{"OnJobFinished", has(t.MethodByName("OnJobFinished"))},
		{"OnJobComplete", has(t.MethodByName("OnJobComplete"))},
		{"OnJobCompleted", has(t.MethodByName("OnJobCompleted"))},
		{"OnJobFail", has(t.MethodByName("OnJobFail"))},
		{"OnJobFailed", has(t.MethodByName("OnJobFailed"))},
		{"OnJobError", has(t.MethodByName("OnJobError"))},
		{"OnJobPanic", has(t.MethodByName("OnJobPanic"))},
		{"OnJobRetry", has(t.MethodByName("OnJobRetry"))},
		{"OnJobDead", has(t.MethodByName("OnJobDead"))},
		{"OnStuck", has(t.MethodByName("OnStuck"))},
		{"OnJobsStuck", has(t.MethodByName("OnJobsStuck"))},
		{"OnLost", has(t.MethodByName("OnLost"))},
		{"OnLeaseLoss", has(t.MethodByName("OnLeaseLoss"))},
		{"OnLeasesLost", has(t.MethodByName("OnLeasesLost"))},
		{"OnLeaseExpired", has(t.MethodByName("OnLeaseExpired"))},
		{"OnCalls", has(t.MethodByName("OnCalls"))},
		{"OnCalled", has(t.MethodByName("OnCalled"))},
		{"OnDriverCall", has(t.MethodByName("OnDriverCall"))},
		{"OnFaults", has(t.MethodByName("OnFaults"))},
		{"OnFaulted", has(t.MethodByName("OnFaulted"))},
		{"OnError", has(t.MethodByName("OnError"))},
		{"OnErr", has(t.MethodByName("OnErr"))},
		{"OnWorker", has(t.MethodByName("OnWorker"))},
		{"OnWorkerStart", has(t.MethodByName("OnWorkerStart"))},
		{"OnWorkerStop", has(t.MethodByName("OnWorkerStop"))},
		{"OnWorkerStates", has(t.MethodByName("OnWorkerStates"))},
		{"OnWorkerStatus", has(t.MethodByName("OnWorkerStatus"))},
		{"OnState", has(t.MethodByName("OnState"))},
		{"OnStatus", has(t.MethodByName("OnStatus"))},
	} {
		if m.found {
			return m.name
		}
	}
	return ""
}
