package batch

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"

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
	suspect      []SuspectHook
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
		add(h, &all.suspect)
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
