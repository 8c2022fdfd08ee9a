// Package nats is the driver for NATS JetStream, nats-server 2.12.3 or newer: one
// server or a cluster. Package embedded, below it, runs the server in the process.
//
// # URLs
//
//	nats://user:password@host:4222            one server
//	nats://token@host:4222                    a token in place of user and password
//	nats://a:4222,b:4222,c:4222               servers of a cluster; or &addr=b:4222
//	tls://host:4222, nats+tls://host:4222     over TLS
//
// Parameters:
//
//	replicas            how many servers keep each queue, 1 to 5; by default 3 on a
//	                    cluster and 1 on a single server
//	prefix              what streams and subjects begin with (batch)
//	dedup_window        how long a dedup key is remembered (24h; 1s to 720h)
//	dial_timeout        for making a connection (5s)
//	group_commit        "true" stores the messages of one Enqueue in one atomic
//	                    batch: for servers with sync_interval: always
//	domain              the JetStream domain, behind a leaf node
//	token               a token that is not to be the URL's user
//	creds, nkey         files: credentials of a user with JWT, the seed of an nkey
//	tls_ca, tls_cert, tls_key
//	                    PEM files: the authority of the server's certificate, the
//	                    client's certificate and key
//	tls_server_name     the name in the servers' certificates
//	name                the connection's name in the server's monitoring (batch)
//	addr                another server
//
// # What is promised
//
// An accepted job is in the file of the stream, on a majority of its replicas.
// The server syncs that file to the disk every two minutes (sync_interval in its
// configuration): the end of the process loses nothing, the end of a machine
// without replicas up to that much, unless sync_interval is always.
//
// # How it works
//
// A queue is one work-queue stream with one pull consumer for its jobs. All other
// things are messages of the same stream, because the server's atomic batches do
// not span streams: delayed jobs and retries are the server's message schedules,
// a remembered dedup key is a message with a time to live, stored in one batch
// with its job on the condition that its subject is empty, and a dead letter
// moves back in one batch that replaces it. docs/wire-nats.md has the names, and
// what a producer or worker in another language does.
//
// A Receive is one pull that takes what there is or waits for the first; nothing
// polls. Jobs are handed out in the order in which they became ready.
//
// # Leases
//
// A lease is the server's AckWait, extended by "in progress". The server takes an
// acknowledgement from anybody for anything, so it cannot tell who holds a job.
// The driver does:
//
//   - An entry that the server hands out a second time, because a lease ended, is
//     not handed on. It is requeued: stored anew at the end of the queue, with its
//     lost holder counted, and then removed. So an entry, by its sequence in the
//     stream, never has more than one holder.
//   - Retry, release and dead letter store the new message and then delete the
//     entry by its sequence, which succeeds for one holder only. Where it does not,
//     the new message is withdrawn and the settlement is ErrLeaseLost.
//   - Done is a plain acknowledgement as long as the lease is certain to last,
//     from before the pull was sent to after the answer came, by two clocks and
//     with no loss of the connection in between. Where it is not certain, it is a
//     deletion as above.
//
// What remains: a server that is killed forgets deliveries of its last tenth of a
// second, and may hand those jobs out again as if for the first time. Two workers
// then hold one entry, and the first to settle it does so; if that is done, and
// the other one's connection did not notice the crash, so does the second. A job
// that ran is never lost by that.
//
// Deliveries are counted by the entries and are exact but for such a crash.
package nats

// Name is the driver's name, in URLs and errors.
const Name = "nats"
