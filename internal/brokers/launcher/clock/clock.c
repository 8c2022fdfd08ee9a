// A library to be preloaded into a server, whose time of day can then be stepped while it runs, as
// an administrator or a time service would, while its monotonic clock and its timers go on. It can
// also take time for passed that has not, by all its clocks. The file /batch-clock has both in
// seconds, as ten characters each.
//
// It needs no C library, so that it fits into every image.

#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

// call makes a system call of up to six arguments.
static long call(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
#error "no system calls for this processor"
#endif
}

// file is the content of /batch-clock, or null without such a file.
static const volatile char *file;

// open_file maps the file before the program begins.
__attribute__((constructor)) static void open_file(void) {
	long descriptor = call(SYS_openat, AT_FDCWD, (long)"/batch-clock", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (descriptor < 0) return;
	long address = call(SYS_mmap, 0, 20, PROT_READ, MAP_SHARED, descriptor, 0);
	if (address > 0) file = (const volatile char *)address;
	call(SYS_close, descriptor, 0, 0, 0, 0, 0);
}

// field is one of the two numbers in the file.
static long field(int begin) {
	long seconds = 0;
	if (!file) return 0;
	for (int i = begin + 1; i < begin + 10; i++) seconds = seconds * 10 + (file[i] - '0');
	return file[begin] == '-' ? -seconds : seconds;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
	long result = call(SYS_clock_gettime, clock, (long)t, 0, 0, 0, 0);
	if (result != 0) return -1;
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		t->tv_sec += field(0) + field(10);
		break;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_BOOTTIME:
		t->tv_sec += field(10);
		break;
	}
	return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
	(void)zone;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *t) {
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (t) *t = now.tv_sec;
	return now.tv_sec;
}
