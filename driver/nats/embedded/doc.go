// Package embedded is NATS JetStream in the process: a durable queue in a
// directory that needs no broker. It is a module of its own, so that programs that
// connect to a server neither link one (some 20 MB) nor depend on its module.
//
//	d, err := embedded.Open(ctx, "jetstream:///var/lib/app/jobs")
//
// It stores what a server stores: the directory can be given to a nats-server as
// its store_dir, and jobs can be moved to a cluster with the tools of NATS. A
// program changes from this to a server by changing the URL.
//
// # URLs
//
//	jetstream:///var/lib/app/jobs      a directory by its absolute path
//	jetstream:jobs                     one below the working directory
//
// The directory is made if it is not there. Parameters:
//
//	sync            "interval" (default) or "always"; see below
//	sync_interval   how often what was written is synced to the disk (1s; 10ms
//	                to 10m), with sync=interval
//	max_bytes       how much the directory may hold, in bytes, 1048576 at least
//	                (default: three quarters of what is free on its disk)
//	prefix, dedup_window
//	                as for package nats
//
// # What is promised
//
// An accepted job survives the end of the process, SIGKILL included: the operating
// system has it. If the machine dies, it depends on sync. With sync=always each job
// is synced to the disk before it is accepted, and none is lost: up to 15 jobs that are
// enqueued at the same time take a sync each, and 16 or more take six together. With
// sync=interval the jobs accepted in the last sync_interval may be lost.
//
// # One process
//
// Only one process at a time can open a directory; in another one Open returns
// driver.ErrUnavailable at once. Within the process it may be opened many times,
// with the same parameters for the server: the first handle starts it and the last
// one to be closed ends it. If several processes share jobs, use a nats-server.
//
// # Many queues
//
// Each queue is a stream with its files. With 300 of them the process has some 5000
// goroutines, a worker takes 2 to 9 s to make them (by the disk) and 1 s where they
// exist, and Open takes 1.5 s. Close takes 11 s, as the server writes and syncs the
// files of one queue after the other: give its context that time.
//
// # Clocks
//
// The time of day may be set while jobs are delayed or held: nothing is early, and nothing
// late by the step. Delays are counted by the clock since the machine's start, and leases
// by the monotonic clock. The server goes by the time of day, so the driver looks once a
// second whether that was set, and then tells the server the times of all scheduled jobs
// and leases anew. Until then, what the server hands out too early is put back, or left to
// its holder, and no delivery is counted. What comes late by that comes some two seconds
// late, or more if there are many thousands of scheduled jobs. If the process dies while it
// schedules jobs anew, some of them run twice.
//
// What was set while no process had the directory open is found by the next one, and
// scheduled jobs are corrected. This is not done after a new start of the machine, as its
// clock is another then. All of that is on Linux: elsewhere the clock since its start may
// stand still while the machine sleeps, and the time of day counts. Two things go by the
// time of day: dedup keys; and the leases of a process that died, so that if the clock is
// set back before they end, what it held comes late by the step.
//
// # Logging
//
// The server and the client library print and log nothing.
package embedded

// Name is the driver's name, in URLs and errors.
const Name = "jetstream"
