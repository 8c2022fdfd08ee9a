package gotime

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// ahead is by how many seconds the time of day is ahead.
var ahead atomic.Int64

// installed tells that the process asks for the time in a way that adds ahead.
var installed bool

// Set sets the time of day of this process, and of no other, to that of the machine and as much as by, in whole
// seconds. Its monotonic clock and its timers go on. From the first call on, asking for the time costs a system call.
// Calls must not be concurrent.
func Set(by time.Duration) error {
	if err := install(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	ahead.Store(int64(by / time.Second))
	return nil
}

// install makes this process ask for the time by a function that adds ahead to the time of day. The runtime asks a
// function which the kernel has put into the memory of the process, the vDSO; that begins with a jump to ours then.
func install() error {
	if installed {
		return nil
	}
	image, base, err := vdso()
	if err != nil {
		return err
	}
	entry, err := entryOf(image, base)
	if err != nil {
		return err
	}
	code, err := besides(base, function())
	if err != nil {
		return fmt.Errorf("no memory for code beside the vDSO: %w", err)
	}
	if err := protect(base, uintptr(len(image)), syscall.PROT_READ|syscall.PROT_WRITE|syscall.PROT_EXEC); err != nil {
		return fmt.Errorf("this kernel does not let the vDSO be changed: %w", err)
	}
	jump := []byte{0xe9, 0, 0, 0, 0, 0x90, 0x90, 0x90} // jmp code
	binary.LittleEndian.PutUint32(jump[1:], uint32(int32(int64(code)-int64(entry)-5)))
	// Other threads call it all the time, so that it must change at once.
	atomic.StoreUint64((*uint64)(at(entry)), binary.LittleEndian.Uint64(jump))
	installed = true
	return protect(base, uintptr(len(image)), syscall.PROT_READ|syscall.PROT_EXEC)
}

// function is the code of clock_gettime(2) that adds ahead to CLOCK_REALTIME.
func function() []byte {
	code := []byte{
		0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
		0x75, 0x10, // jnz to ret
		0x48, 0xb9, // mov rcx, &ahead
	}
	code = binary.LittleEndian.AppendUint64(code, uint64(uintptr(unsafe.Pointer(&ahead))))
	return append(code,
		0x48, 0x8b, 0x09, // mov rcx, [rcx]
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3, // ret
	)
}

// vdso is the memory that the kernel has put its functions into, and where it begins.
func vdso() (image []byte, base uintptr, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		var end uintptr
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &base, &end); err != nil {
			return nil, 0, err
		}
		return unsafe.Slice((*byte)(at(base)), end-base), base, nil
	}
	return nil, 0, errors.New("no vDSO")
}

// entryOf is where clock_gettime begins.
func entryOf(image []byte, base uintptr) (uintptr, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("the vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" && s.Value%8 == 0 {
			return base + uintptr(s.Value), nil
		}
	}
	return 0, errors.New("no clock_gettime in the vDSO")
}

// besides puts code into memory that a jump from base reaches, and returns where.
func besides(base uintptr, code []byte) (uintptr, error) {
	const page, fixedNoReplace = 4096, 0x100000
	var failed error
	for n := range uintptr(1 << 14) { // up to half a gigabyte above or below
		there := base + n/2*16*page
		if n%2 == 1 {
			there = base - n/2*16*page
		}
		p, _, errno := syscall.Syscall6(syscall.SYS_MMAP, there, page, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_PRIVATE|syscall.MAP_ANON|fixedNoReplace, ^uintptr(0), 0)
		if errno != 0 {
			failed = errno
			continue
		}
		copy(unsafe.Slice((*byte)(at(p)), page), code)
		return p, protect(p, page, syscall.PROT_READ|syscall.PROT_EXEC)
	}
	return 0, failed
}

// at is a pointer to memory that is not Go's.
func at(address uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}

// protect is mprotect(2).
func protect(address, size, how uintptr) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_MPROTECT, address, size, how); errno != 0 {
		return errno
	}
	return nil
}
