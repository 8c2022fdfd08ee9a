package batch

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// aside calls a hook on a goroutine of its own, and waits for it. A hook that ends
// its goroutine (runtime.Goexit, as a failed assertion of package testing does)
// must not end one of the worker's, which everything else depends on.
func aside(logger *slog.Logger, method string, hook any, call func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer logPanic(logger, method, hook)
		call()
	}()
	<-done
}

// panicPause is how long the panics of one method of a hook are not logged again: a
// hook that panics does so for every job.
const panicPause = 10 * time.Second

// panicsLogged has when a panic was last logged, by the hook's type and method.
var panicsLogged sync.Map

// logPanic, deferred, logs a hook's panic to logger, or slog.Default() if that is
// nil. Nothing else comes of it, since a hook only watches.
func logPanic(logger *slog.Logger, method string, hook any) {
	r := recover()
	if r == nil {
		return
	}
	name := fmt.Sprintf("%T.%s", hook, method)
	now := time.Now()
	if last, ok := panicsLogged.Swap(name, now); ok && now.Sub(last.(time.Time)) < panicPause {
		panicsLogged.Store(name, last)
		return
	}
	defer func() { _ = recover() }() // the log handler may be what panics
	if logger == nil {
		logger = slog.Default()
	}
	logger.Error("a hook panicked", "hook", name, "panic", textOf(r), "place", panicPlace(), "stack", string(debug.Stack()))
}
