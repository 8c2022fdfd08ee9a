package fsyncs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// A kind is a tracepoint: its number in this kernel, and which of its events count.
type kind struct {
	id     uint64
	filter string // all if it is empty
}

// calls are the system calls that sync, with the filters of those that do so by their flags: MS_SYNC, and
// O_DSYNC, which is a part of O_SYNC.
var calls = []struct{ name, filter string }{
	{"fsync", ""}, {"fdatasync", ""}, {"msync", "flags & 4"}, {"openat", "flags & " + strconv.Itoa(syscall.O_DSYNC)},
}

// kinds are the tracepoints of the calls.
var kinds = sync.OnceValues(func() ([]kind, error) {
	for _, root := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if all, err := kindsAt(root); err == nil {
			return all, nil
		}
	}
	all, err := kindsMounted()
	if err != nil {
		err = unsupported(err)
	}
	return all, err
})

// unsupported says what is needed.
func unsupported(err error) error {
	return fmt.Errorf("fsyncs: to count them takes root and a kernel with tracepoints of system calls: %w: %w", errors.ErrUnsupported, err)
}

// kindsAt reads the numbers below a folder where tracefs is mounted.
func kindsAt(root string) ([]kind, error) {
	var all []kind
	for _, c := range calls {
		text, err := os.ReadFile(filepath.Join(root, "events/syscalls/sys_enter_"+c.name, "id"))
		if err != nil {
			return nil, err
		}
		id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, kind{id, c.filter})
	}
	return all, nil
}

// kindsMounted mounts tracefs for as long as it reads.
func kindsMounted() (all []kind, err error) {
	root, err := os.MkdirTemp("", "batch-tracefs-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Remove(root)) }()
	if err := syscall.Mount("tracefs", root, "tracefs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return nil, fmt.Errorf("mount tracefs: %w", err)
	}
	defer func() { err = errors.Join(err, syscall.Unmount(root, syscall.MNT_DETACH)) }()
	return kindsAt(root)
}

// attributes are the first version of perf_event_attr, of perf_event_open(2).
type attributes struct {
	class, size                            uint32
	config, period, samples, format, flags uint64
	wakeup, breakpoint                     uint32
	address                                uint64
}

const (
	tracepoint  = 2          // PERF_TYPE_TRACEPOINT
	inherit     = 1 << 1     // what a thread starts is counted with it
	closeOnExec = 8          // PERF_FLAG_FD_CLOEXEC
	setFilter   = 0x40082406 // PERF_EVENT_IOC_SET_FILTER, where pointers have eight bytes
)

// perf is an event of the kernel.
type perf struct{ file int }

// open makes the event of a thread.
func open(k kind, thread int) (event, error) {
	a := attributes{class: tracepoint, config: k.id, flags: inherit}
	a.size = uint32(unsafe.Sizeof(a))
	fd, _, errno := syscall.Syscall6(syscall.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(&a)), uintptr(thread), ^uintptr(0), ^uintptr(0), closeOnExec, 0)
	switch errno {
	case 0:
	case syscall.ESRCH:
		return nil, errGone
	case syscall.EACCES, syscall.EPERM, syscall.ENOSYS, syscall.ENOENT:
		return nil, unsupported(os.NewSyscallError("perf_event_open", errno))
	default:
		return nil, fmt.Errorf("fsyncs: thread %d: %w", thread, os.NewSyscallError("perf_event_open", errno))
	}
	p := perf{int(fd)}
	if k.filter == "" {
		return p, nil
	}
	text, err := syscall.BytePtrFromString(k.filter)
	if err == nil {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, setFilter, uintptr(unsafe.Pointer(text))); errno != 0 {
			err = fmt.Errorf("fsyncs: filter %q: %w", k.filter, os.NewSyscallError("ioctl", errno))
		}
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// count implements event.
func (p perf) count() (uint64, error) {
	var b [8]byte
	n, err := syscall.Read(p.file, b[:])
	if err == nil && n != len(b) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, fmt.Errorf("fsyncs: read a count: %w", err)
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}

// close implements event.
func (p perf) close() error { return os.NewSyscallError("close", syscall.Close(p.file)) }

// Own are the threads of this process.
func Own() ([]int, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("fsyncs: %w", err)
	}
	all := make([]int, len(entries))
	for i, e := range entries {
		if all[i], err = strconv.Atoi(e.Name()); err != nil {
			return nil, fmt.Errorf("fsyncs: %w", err)
		}
	}
	return all, nil
}
