package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/batch-go/batch/driver"
)

// instance is a server in the process, with the directory that is its own.
type instance struct {
	path    string
	options Options
	server  *server.Server
	lock    *os.File
	handles int // guarded by instances
}

// instances are the servers of the process by their directory. Starting and
// ending one takes the lock, so that of two calls that open a directory one waits.
var instances = struct {
	sync.Mutex // guards following
	byPath     map[string]*instance
}{byPath: make(map[string]*instance)}

// startTime bounds the start of a server, which reads its streams then.
const startTime = 2 * time.Minute

// acquire starts the server of a directory, or joins the one that runs, until
// release.
func acquire(ctx context.Context, directory string, options Options) (*instance, error) {
	path, err := prepare(directory)
	if err != nil {
		return nil, refuse(driver.ErrConfig, err, "the directory must be one that this process may write")
	}
	instances.Lock()
	defer instances.Unlock()
	if i := instances.byPath[path]; i != nil {
		if !i.options.sameServer(&options) {
			return nil, refuse(driver.ErrConfig, fmt.Errorf("the directory %s is open in this process with other parameters", path), "")
		}
		i.handles++
		return i, nil
	}
	i := &instance{path: path, options: options, handles: 1}
	if i.lock, err = lock(filepath.Join(path, "batch.lock")); err != nil {
		if errors.Is(err, errLocked) {
			return nil, refuse(driver.ErrUnavailable, fmt.Errorf("the directory %s is open in another process", path),
				"a directory is one process's at a time: connect several to a nats-server")
		}
		return nil, refuse(driver.ErrConfig, err, "the directory must be one that this process may write")
	}
	if err := i.start(ctx); err != nil {
		_ = i.lock.Close() // nothing was written to it
		return nil, refuse(driver.ErrUnavailable, err, "")
	}
	instances.byPath[path] = i
	return i, nil
}

// prepare makes the directory and finds its true name, so that one directory is
// one server by whatever name it is opened.
func prepare(directory string) (string, error) {
	path, err := filepath.Abs(directory)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// start starts the server, which listens nowhere.
func (i *instance) start(ctx context.Context) error {
	s, err := server.NewServer(&server.Options{
		ServerName: "batch", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: i.path, JetStreamMaxStore: i.options.MaxBytes,
		SyncAlways: i.options.SyncAlways, SyncInterval: i.options.SyncInterval,
	})
	if err != nil {
		return err
	}
	s.Start()
	within := startTime
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(deadline))
	}
	if !s.ReadyForConnections(within) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		if err := ctx.Err(); err != nil {
			return err
		}
		return fmt.Errorf("the server on %s did not start", i.path)
	}
	i.server = s
	return nil
}

// release ends what acquire began, and the server with its last handle.
func (i *instance) release() {
	instances.Lock()
	defer instances.Unlock()
	if i.handles--; i.handles > 0 {
		return
	}
	i.server.Shutdown()
	i.server.WaitForShutdown()
	_ = i.lock.Close() // nothing was written to it
	delete(instances.byPath, i.path)
}
