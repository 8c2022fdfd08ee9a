package batch

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/batch-go/batch/driver"
)

// hooks are sorted by what they implement, once, so that an event without hooks
// costs only a length check.
type hooks struct {
	enqueueStart []EnqueueStartHook
	enqueueEnd   []EnqueueEndHook
	jobStart     []JobStartHook
	jobEnd       []JobEndHook
	jobStuck     []JobStuckHook
	leaseLost    []LeaseLostHook
	call         []CallHook
	fault        []FaultHook
	worker       []WorkerStateHook

	// log is the worker's, nil if it has none. It is one of the hooks above, too.
	log *workerLog
}

// addLog adds the log of a worker on a driver, as the last hook, so that the contexts
// of the others are those of its lines.
func (all *hooks) addLog(logger *slog.Logger, d driver.Driver) error {
	if all.log = newWorkerLog(logger, d); all.log == nil {
		return nil
	}
	return all.append(all.log)
}

// close ends what the hooks do by themselves.
func (all *hooks) close() {
	if all.log != nil {
		all.log.close()
	}
}

// hookTypes are the interfaces of all hooks. Each has one method.
var hookTypes = []reflect.Type{
	reflect.TypeFor[EnqueueStartHook](),
	reflect.TypeFor[EnqueueEndHook](),
	reflect.TypeFor[JobStartHook](),
	reflect.TypeFor[JobEndHook](),
	reflect.TypeFor[JobStuckHook](),
	reflect.TypeFor[LeaseLostHook](),
	reflect.TypeFor[CallHook](),
	reflect.TypeFor[FaultHook](),
	reflect.TypeFor[WorkerStateHook](),
}

// append sorts in a list of hooks. It refuses a value that is not one.
func (all *hooks) append(list ...Hook) error {
	for i, h := range list {
		if err := checkHook(fmt.Sprintf("hook %d", i+1), reflect.TypeOf(h)); err != nil {
			return err
		}
		add(h, &all.enqueueStart)
		add(h, &all.enqueueEnd)
		add(h, &all.jobStart)
		add(h, &all.jobEnd)
		add(h, &all.jobStuck)
		add(h, &all.leaseLost)
		add(h, &all.call)
		add(h, &all.fault)
		add(h, &all.worker)
	}
	return nil
}

// add puts h into the list of those that implement T, if it does. It copies the
// list, which queue handles may share.
func add[T any](h Hook, list *[]T) {
	if t, ok := h.(T); ok {
		*list = append(slices.Clip(*list), t)
	}
}

// checkHook refuses a type that is no hook, or that has a method that looks like one
// of a hook and would not be called. field names the hook in errors.
func checkHook(field string, t reflect.Type) error {
	if t == nil {
		return invalid(field, "nil", "a value that implements one of the hook interfaces")
	}
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		for m := range hookMethods(reflect.PointerTo(t)) {
			if _, ok := t.MethodByName(m.Name); !ok {
				return invalid(field, fmt.Sprintf("of type %s", t), fmt.Sprintf("a pointer: its method %s has a pointer as receiver", m.Name))
			}
		}
	}
	used := 0
	for m := range hookMethods(t) {
		used++
		i := slices.IndexFunc(hookTypes, func(hook reflect.Type) bool { return hook.Method(0).Name == m.Name })
		switch {
		case i < 0:
			return invalid(field, fmt.Sprintf("of type %s with a method %s", t, m.Name), "without methods that begin with On other than "+strings.Join(hookNames(), ", "))
		case !t.Implements(hookTypes[i]):
			return invalid(field, fmt.Sprintf("of type %s", t), "a value whose method "+m.Name+" is "+signature(hookTypes[i]))
		}
	}
	if used == 0 {
		return invalid(field, fmt.Sprintf("of type %s", t), "a value that has one of the methods "+strings.Join(hookNames(), ", "))
	}
	return nil
}

// hookMethods are the exported methods of a type whose names begin with the word On.
func hookMethods(t reflect.Type) func(yield func(reflect.Method) bool) {
	return func(yield func(reflect.Method) bool) {
		for i := range t.NumMethod() {
			m := t.Method(i)
			if rest, ok := strings.CutPrefix(m.Name, "On"); ok && rest != "" && 'A' <= rest[0] && rest[0] <= 'Z' && !yield(m) {
				return
			}
		}
	}
}

// hookNames are the names of the methods of all hooks.
func hookNames() []string {
	var names []string
	for _, hook := range hookTypes {
		names = append(names, hook.Method(0).Name)
	}
	return names
}

// signature is the method of a hook interface as it is declared.
func signature(hook reflect.Type) string {
	m := hook.Method(0)
	return m.Name + strings.TrimPrefix(m.Type.String(), "func")
}
