package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
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
	handles atomic.Int64 // at zero it has ended, or is about to
}

// instances are the servers of the process by their directory. Starting and
// ending one takes the turn, so that of two calls that open a directory one waits.
var instances = struct {
	turn   chan struct{} // holds one value while somebody has the turn, who may touch byPath
	byPath map[string]*instance
}{turn: make(chan struct{}, 1), byPath: make(map[string]*instance)}

// startTime bounds the start of a server, which reads its streams then.
const startTime = 2 * time.Minute

// acquire starts the server of a directory, or joins the one that runs, until
// release.
func acquire(ctx context.Context, directory string, options Options) (*instance, error) {
	path, err := prepare(directory)
	if err != nil {
		return nil, refuse(driver.ErrConfig, err, "the directory must be one that this process may write")
	}
	select {
	case instances.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, refuse(driver.ErrUnavailable, ctx.Err(), "another handle is being opened or closed in this process")
	}
	// The server's own start and end know no ctx: they go on, and keep the turn.
	result := make(chan acquired, 1)
	go func() {
		defer func() { <-instances.turn }()
		i, err := take(path, options)
		result <- acquired{i, err}
	}()
	select {
	case r := <-result:
		return r.instance, r.err
	case <-ctx.Done():
		go func() {
			if r := <-result; r.err == nil {
				_ = r.instance.release(context.Background()) // nobody waits for it any more
			}
		}()
		return nil, refuse(driver.ErrUnavailable, ctx.Err(), "the server needs longer to read its directory")
	}
}

// acquired is what acquire waits for.
type acquired struct {
	instance *instance
	err      error
}

// take is acquire with the turn taken.
func take(path string, options Options) (*instance, error) {
	if i := instances.byPath[path]; i != nil && i.handles.Load() == 0 {
		i.end() // who let the last handle go has not had the turn yet
	}
	if i := instances.byPath[path]; i != nil {
		if !i.options.sameServer(&options) {
			return nil, refuse(driver.ErrConfig, fmt.Errorf("the directory %s is open in this process with other parameters", path), "")
		}
		i.handles.Add(1)
		return i, nil
	}
	i := &instance{path: path, options: options}
	i.handles.Store(1)
	var err error
	if i.lock, err = lock(filepath.Join(path, "batch.lock")); err != nil {
		if errors.Is(err, errLocked) {
			return nil, refuse(driver.ErrUnavailable, fmt.Errorf("the directory %s is open in another process", path),
				"a directory is one process's at a time: connect several to a nats-server")
		}
		return nil, refuse(driver.ErrConfig, err, "the directory must be one that this process may write")
	}
	if err := i.start(); err != nil {
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
func (i *instance) start() error {
	s, err := server.NewServer(&server.Options{
		ServerName: "batch", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: i.path, JetStreamMaxStore: i.options.MaxBytes,
		SyncAlways: i.options.SyncAlways, SyncInterval: i.options.SyncInterval,
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(startTime) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return fmt.Errorf("the server on %s did not start", i.path)
	}
	i.server = s
	return nil
}

// release ends what acquire began, and the server with its last handle. If ctx ends
// first, that goes on, and who opens the directory next waits for it.
func (i *instance) release(ctx context.Context) error {
	if i.handles.Add(-1) > 0 {
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		instances.turn <- struct{}{}
		defer func() { <-instances.turn }()
		if i.handles.Load() == 0 {
			i.end()
		}
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end ends the server, once. The turn must be taken.
func (i *instance) end() {
	if instances.byPath[i.path] != i {
		return
	}
	i.server.Shutdown()
	i.server.WaitForShutdown()
	_ = i.lock.Close() // nothing was written to it
	delete(instances.byPath, i.path)
}
