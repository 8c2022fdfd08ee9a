package fsyncs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// counted is how many syncs do makes. A machine that does not tell is no machine for CI.
func counted(t *testing.T, do func()) uint64 {
	t.Helper()
	c, err := Start(Own)
	if errors.Is(err, errors.ErrUnsupported) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	do()
	n, err := c.Stop()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// file makes one.
func file(t *testing.T, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_CREATE|os.O_RDWR|flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // the folder goes
	if _, err := f.WriteString("text"); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestCount counts each kind of sync, and nothing else.
func TestCount(t *testing.T) {
	f := file(t, 0)
	for name, c := range map[string]struct {
		want uint64
		do   func() error
	}{
		"nothing":                   {0, func() error { file(t, 0); return nil }},
		"fsync":                     {1, f.Sync},
		"fdatasync":                 {1, func() error { return syscall.Fdatasync(int(f.Fd())) }},
		"a file that syncs":         {1, func() error { file(t, syscall.O_DSYNC); return nil }},
		"a file that syncs, wholly": {1, func() error { file(t, os.O_SYNC); return nil }},
		"a process that is started": {1, func() error {
			return exec.CommandContext(t.Context(), "dd", "if=/dev/zero", "of="+filepath.Join(t.TempDir(), "file"), "count=1", "conv=fsync").Run()
		}},
		"before a failure": {2, func() error { return errors.Join(f.Sync(), f.Sync()) }},
	} {
		t.Run(name, func(t *testing.T) {
			if got := counted(t, func() {
				if err := c.do(); err != nil {
					t.Error(err)
				}
			}); got != c.want {
				t.Errorf("%d syncs, want %d", got, c.want)
			}
		})
	}
}

// TestThreadsThatBegin counts those of threads that were there before, and that began since.
func TestThreadsThatBegin(t *testing.T) {
	f := file(t, 0)
	const threads, each = 20, 10
	got := counted(t, func() {
		var all sync.WaitGroup
		for range threads {
			all.Go(func() {
				runtime.LockOSThread() // and not unlocked: the thread ends too
				for range each {
					if err := f.Sync(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
	if got != threads*each {
		t.Errorf("%d syncs, want %d", got, threads*each)
	}
}

// TestStart: threads that come meanwhile are looked at again, and what cannot be counted is an error.
func TestStart(t *testing.T) {
	counted(t, func() {}) // or it is skipped
	looks := 0
	c, err := Start(func() ([]int, error) {
		looks++
		own, err := Own()
		return own[:min(len(own), looks)], err
	})
	if err != nil {
		t.Fatal(err)
	}
	if looks < 3 {
		t.Errorf("it looked %d times at threads that came", looks)
	}
	if _, err := c.Stop(); err != nil {
		t.Error(err)
	}
	boom := errors.New("boom")
	if _, err := Start(func() ([]int, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("it was not told of the threads: %v", err)
	}
	if _, err := Start(func() ([]int, error) { return nil, nil }); err == nil {
		t.Error("it counts nothing")
	}
	before, changes := descriptors(t), 0
	if _, err := Start(func() ([]int, error) {
		changes++
		own, err := Own()
		return own[:1+changes%2], err
	}); err == nil {
		t.Error("threads came and went all the time")
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d files are open, and were %d", after, before)
	}
}

// descriptors is how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
