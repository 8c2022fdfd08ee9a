// Package nats is the driver for NATS JetStream, nats-server 2.12.3 or newer: one
// server or a cluster. The module embedded, below this package, runs the server in
// the process.
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
//	domain              the JetStream domain, for a server behind a leaf node
//	token               a token, if it is not given in place of the user
//	creds, nkey         files: credentials of a user with JWT, the seed of an nkey
//	tls_ca, tls_cert, tls_key
//	                    over TLS only, PEM files: the authority of the server's
//	                    certificate, the client's certificate and key
//	tls_server_name     over TLS only: the name in the servers' certificates
//	name                the connection's name in the server's monitoring (batch)
//	addr                another server
//
// # What is promised
//
// An accepted job is in the file of the stream, on a majority of its replicas.
// The server syncs that file to the disk every two minutes (sync_interval in its
// configuration). If the server process dies, nothing is lost. If the machine dies
// and there are no replicas, the jobs since the last sync are lost, unless
// sync_interval is always.
//
// # How it works
//
// A queue is one work-queue stream with one pull consumer for its jobs. Everything
// else is in messages of the same stream, because the server's atomic batches do
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
// A lease is the server's AckWait, extended by "in progress". The server accepts
// an acknowledgement of any job from any client, so it cannot tell who holds a job.
// The driver makes sure of it:
//
//   - An entry that the server hands out a second time, because a lease ended, is
//     not handed on. It is requeued: stored anew at the end of the queue, with its
//     lost holder counted, and then removed. So an entry, by its sequence in the
//     stream, never has more than one holder.
//   - Retry, release and dead letter store the new message and then delete the
//     entry by its sequence, which succeeds for one holder only. If it fails, the
//     new message is withdrawn and the settlement fails with ErrLeaseLost.
//   - Done is a plain acknowledgement if it is certain that the lease was held,
//     from before the pull was sent until after the answer came, by two clocks and
//     without a loss of the connection in between. If it is not certain, Done is a
//     deletion as above.
//
// One gap remains. A server that is killed forgets the deliveries of its last tenth
// of a second, and may hand those jobs out again as if for the first time. Two
// workers then hold one entry. The first to settle it succeeds and the other gets
// ErrLeaseLost, with one exception: a worker whose connection did not notice the
// crash settles Done by an acknowledgement, which succeeds whatever the other
// worker did. No job is lost by that, as the worker that acknowledges has run it.
//
// Deliveries are counted in the entries. The count is exact except after such a
// crash.
package nats

// Name is the driver's name, in URLs and errors.
const Name = "nats"
