package brokers

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// removeTimeout bounds the removal of one broker.
const removeTimeout = time.Minute

// process holds what this process has to close, and the brokers that its tests share.
var process = struct {
	sync.Mutex
	// guards following
	launcher *launcher
	shared   map[string]func() (any, error) // each starts its broker at the first call
}{shared: make(map[string]func() (any, error))}

// processLauncher starts this process's launcher at the first call.
var processLauncher = sync.OnceValues(func() (*launcher, error) {
	l, err := startLauncher()
	process.Lock()
	defer process.Unlock()
	process.launcher = l
	return l, err
})

// errNoEngine marks the one failure that skips a test: there is no Docker engine.
var errNoEngine = errors.New("brokers: not exercised")

// readyLauncher returns this process's launcher when it has found an engine.
var readyLauncher = sync.OnceValues(func() (*launcher, error) {
	l, err := processLauncher()
	if err != nil {
		return nil, err
	}
	err = l.call(context.Background(), "Connect", &launch.Call{}, &launch.Nothing{})
	if answer := rpc.ServerError(""); errors.As(err, &answer) {
		err = fmt.Errorf("%w: %w; run scripts/docker-engine.sh or set the broker's BATCH_TEST_..._URL", errNoEngine, err)
	}
	return l, err
})

// A broker is what tests ask for: an instance or several that belong together.
type broker interface {
	comparable
	fmt.Stringer
	remove(context.Context) error
}

// share returns the broker of a key, which the first test to ask for it starts. given, when it is not
// nil, may return a broker that runs already. A start that failed is not tried again: every test that
// wanted the broker fails, at once, with the same reason.
func share[B broker](t testing.TB, key string, start func(*launcher) (B, error), given func() (B, error)) B {
	t.Helper()
	process.Lock()
	once, ok := process.shared[key]
	if !ok {
		once = sync.OnceValues(func() (any, error) {
			var none B
			if given != nil {
				if b, err := given(); err != nil || b != none {
					return b, err
				}
			}
			l, err := readyLauncher()
			if err != nil {
				return none, err
			}
			return start(l)
		})
		process.shared[key] = once
	}
	process.Unlock()
	value, err := once()
	if err != nil {
		refuse(t, err)
	}
	b := value.(B)
	announce(t, b.String())
	return b
}

// own starts a broker for one test and removes it when the test ends.
func own[B broker](t testing.TB, start func(*launcher) (B, error)) B {
	t.Helper()
	l, err := readyLauncher()
	if err != nil {
		refuse(t, err)
	}
	b, err := start(l)
	if err != nil {
		refuse(t, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
		defer cancel()
		if err := b.remove(ctx); err != nil {
			t.Errorf("remove %v: %v", b, err)
		}
	})
	announce(t, b.String())
	return b
}

// refuse ends a test that cannot have its broker. Only a missing engine is a reason to skip, and in CI
// not even that: a suite that is green because it ran nothing is worse than a red one.
func refuse(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, errNoEngine) {
		t.Fatalf("brokers: %v", err)
	}
	recordMissing()
	if inCI() {
		t.Fatalf("%v (a failure, because CI is set)", oneLine(err))
	}
	t.Skip(oneLine(err))
}

func inCI() bool {
	ci, err := strconv.ParseBool(os.Getenv("CI"))
	return err == nil && ci
}
