// Package fsyncs counts how often processes sync files to the disk, for tests and measurements:
//
//	c, err := fsyncs.Start(fsyncs.Own)
//	// what is to be counted
//	n, err := c.Stop()
//
// A sync is an fsync, an fdatasync, an msync that waits, or a file that is opened so that each write is one
// (O_SYNC, O_DSYNC): such files are mostly written once. sync_file_range is none, as it promises nothing.
//
// The kernel counts, by its tracepoints: nothing is stopped, and a count makes each system call some tenths of
// a microsecond longer. ptrace, which strace uses, stops every thread twice at each call, and what shares a
// sync is another number of jobs then. It takes Linux with perf events, and root or CAP_PERFMON and
// CAP_DAC_READ_SEARCH; where the system call tracepoints are not mounted, CAP_SYS_ADMIN too. Elsewhere Start
// returns an error that wraps errors.ErrUnsupported.
package fsyncs
