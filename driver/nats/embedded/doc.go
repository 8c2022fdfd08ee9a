// Package embedded is NATS JetStream in the process: a durable queue in a
// directory that needs no broker. It is a package of its own, so that programs
// that connect to a server do not link one (some 20 MB).
//
//	d, err := embedded.Open(ctx, "jetstream:///var/lib/app/jobs")
//
// What it stores is what a server stores: the directory can be given to a
// nats-server as its store_dir, and jobs moved to a cluster by the tools of NATS.
// To change from this to a server is to change the URL.
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
//	max_bytes       how much the directory may hold, in bytes (default: three
//	                quarters of what is free on its disk)
//	prefix, dedup_window
//	                as for package nats
//
// # What is promised
//
// An accepted job survives the end of the process in any way, SIGKILL included:
// the operating system has it. Against the end of the machine, sync=always syncs
// each job to the disk before it is accepted, with one sync for all that are
// enqueued at the same time, while with sync=interval up to sync_interval of
// accepted jobs may be lost.
//
// # One process
//
// One process at a time has a directory; another one is refused with
// driver.ErrUnavailable. Within the process it may be opened many times, with the
// same parameters for the server: the first handle starts it and the last to be
// closed ends it. Programs of several processes connect to a nats-server.
package embedded

// Name is the driver's name, in URLs and errors.
const Name = "jetstream"
