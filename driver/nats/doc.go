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
//	dedup_window        how long a dedup key is remembered at most, and if the job
//	                    does not say (24h; 1s to 720h)
//	dial_timeout        for making a connection (5s; 1ms to 1m)
//	group_commit        "true" stores the messages of one Enqueue in one atomic
//	                    batch, if they are 16 or more: for servers with
//	                    sync_interval: always
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
// polls. Jobs are handed out in the order in which they became ready. A job whose holder
// vanished keeps its place: it comes before all that were not handed out yet. One that
// is released goes to the end of the queue, as JetStream counts what it hands out again
// as a lost holder: it runs when the jobs are done that waited at its release, and no
// later.
//
// A pull that the server does not answer is asked anew after its time and two seconds
// more: seven seconds, and four in a cluster. So what is lost on the way, or in a server
// that froze, delays a job by that, and by the time in which a cluster finds a new leader.
//
// Depth is what the server counts anyway, and its cost does not grow. The age is that
// of the first message that waits. The server brings scheduled jobs forth by itself, so
// that none is due but on a server that was full; see below. Of more than 1000 scheduled
// jobs Due is what a consumer of this driver has found last. A job whose holder vanished
// counts as running until a worker receives it, also after its lease has ended.
//
// No call waits longer than its ctx, whatever the network does: the driver connects
// anew in the background, and a server that does not read holds nobody up. A connection
// that was passed to [New] connects by itself, and the client library locks it while it
// dials: there a call that meets the loss in its very moment may wait for that, up to
// twice the Timeout of the connection.
//
// ListQueues lists the queues of the prefix. It asks the server about each.
//
// Purge reads the jobs that wait and removes them one by one, since the server's own
// purge would take the running ones too: with its requests 200 at a time it takes
// about as long as receiving and settling them. On a stream with replicas it reads one
// by one, as List does. A job that is handed out in the moment of its removal is
// removed too, and its holder cannot settle it; the same is true of Delete.
//
// # A full server
//
// A server whose storage is full, or whose account's is, refuses to store, and what is
// done is removed anyway, which makes room. Retries and dead letters fail with
// driver.ErrFull until there is some. Scheduled jobs that fall due in that time are
// forgotten by the server: a consumer looks for such jobs every 15 to 30 seconds, less
// often where there are many scheduled jobs or many workers, and stores them anew when
// there is room. Until then Receive fails with driver.ErrFull now and then, with the
// number of those jobs, and Depth has them as Due. A job whose holder vanished is handed
// out without the mark that tells its former holder so, for which there is no room. If
// that one still lives and settles it late, it succeeds, and the new holder is told that
// it lost the job: it may run twice then, and is not lost.
//
// # What operators may change
//
// A stream that somebody gave limits (max_msgs, max_bytes, max_age and so on) drops its
// oldest jobs: JetStream has no other way for a stream with schedules. Declare refuses
// such a stream, and every other setting by which jobs could be lost, with a
// driver.ErrConflict that names the setting, and consumers look for such a change every
// 15 to 30 seconds and fail a Receive with that error. Limits of an account are
// driver.ErrFull. An account that demands max_bytes of its streams is
// driver.ErrUnsupported.
//
// The consumers on the server that somebody removed are made again. Without them the
// server does not know what is running: those jobs are handed out again at once, as if
// for the first time. A pause ends with them.
//
// # Rights
//
// A user needs to subscribe to _INBOX.> and to publish to
//
//	batch.*.>                       to store jobs; batch is the prefix
//	$JS.API.INFO                    to open
//	$JS.API.STREAM.CREATE.*         to declare a queue
//	$JS.API.STREAM.INFO.*           for everything
//	$JS.API.STREAM.DELETE.*         to delete a queue
//	$JS.API.STREAM.NAMES            to list queues
//	$JS.API.STREAM.PURGE.*          to redrive, and where a consumer was removed
//	$JS.API.STREAM.MSG.GET.*        for everything but plain jobs
//	$JS.API.STREAM.MSG.DELETE.*     to settle, to delete and to purge
//	$JS.API.CONSUMER.CREATE.*.>     to declare a queue
//	$JS.API.CONSUMER.INFO.*.*       for everything
//	$JS.API.CONSUMER.PAUSE.*.*      to pause and resume
//	$JS.API.CONSUMER.MSG.NEXT.*.*   to receive
//	$JS.API.DIRECT.GET.*            to list
//	$JS.ACK.>                       to settle
//
// A call that lacks one is driver.ErrUnauthorized at once, and the error names the
// subject. On a connection that was passed to [New] that shows only as a call that is
// not answered, since such errors go to the error handler of the connection.
//
// Where the server or the account bounds how many subscriptions there are, a driver needs
// one, and one more for each Receive that waits. What others it takes, to store single
// jobs quickly, it gives up when the server refuses one. A Receive that gets none is
// driver.ErrFull.
//
// # Dedup keys
//
// A job without a key is one message. With a key it is two, and they are stored in an
// atomic batch, which takes the server some milliseconds instead of a fraction of one:
// enqueue many in one call where that matters. A duplicate costs one more request, the
// one that finds out whose it is. The message of a key lives in the stream until its
// time is over, also after the job has run, at a few hundred bytes each.
//
// The time of a key is counted in whole seconds, rounded up. A job that is removed
// before it has run to its end frees its key, which takes two more requests for each
// such job. If the connection breaks just then, the job is gone, the call fails with
// an unknown fate, and the key is free when its time is over.
//
// # Leases
//
// A lease is the server's AckWait, extended by "in progress". The server accepts
// an acknowledgement of any job from any client, so it cannot tell who holds a job.
// The driver makes sure of it:
//
//   - An entry that the server hands out a second time, because a lease ended, is
//     taken over: the new holder stores a mark, a message of its own subject, on the
//     condition that nobody else has. A holder that is not certain of its entry looks
//     for its mark before it settles or extends, and has lost it if there is one of a
//     later delivery.
//   - Retry, release and dead letter store the new message and then delete the
//     entry by its sequence, which succeeds for one holder only. If it fails, the
//     new message is withdrawn and the settlement fails with ErrLeaseLost. A release
//     moves the job to the end of the queue, and counts no lost holder.
//   - Done is a plain acknowledgement if it is certain that the lease was held,
//     from before the pull was sent until after the answer came, by two clocks and
//     without a loss of the connection in between. If it is not certain, Done is a
//     deletion as above.
//
// A worker that dies between the two steps of a retry, a release or a dead letter leaves
// the job twice, and it runs twice: at most what was in that one call of Settle. Taking
// over doubles nothing, however often a worker dies in it. A former holder that settles
// late, within the milliseconds in which another one takes the job over, may be told
// that it succeeded; the new one then lost it.
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
//
// Stop gives back what the server sends to pulls that wait. A cluster goes on sending
// until they end, so that Stop takes up to two seconds there. On a single server Stop
// ends those that have not ended after a tenth of a second, and the server takes back
// what it was about to deliver in that moment: such a job, which is rare, counts a lost
// holder that there was not.
//
// # Clocks
//
// The clocks of producers and workers may be wrong, and may be set while they run: delays
// are counted by the server's clock, and a holder whose own clock was set is not certain
// of its leases and asks. The server itself goes by its wall clock, for scheduled jobs,
// leases and dedup keys. If that is set ahead by an hour, jobs that are due within the
// hour are handed out early, and leases end: what was running is handed out again, and
// its former holders cannot settle it. If it is set back, jobs that are scheduled come
// late by the step, and so do those whose holder vanished. A delayed job that is stored
// in the ten seconds after a step may be off by it, and after a step ahead one with a short
// delay may come as late as the next scheduled job was due before the step: the server
// sleeps until then. Clocks that are slewed, as by an NTP client that runs all the time, do
// no harm.
//
// A server in the process that listens nowhere has the same clock as the driver, which on
// Linux sees a step within a second and corrects what is off; see package embedded.
//
// # Logging
//
// The driver, the client library and the server of package embedded print and log
// nothing: what happens is in the errors of calls. On a connection that was passed to
// [New] the client library prints asynchronous errors to the standard error, unless
// that connection has an error handler.
package nats

// Name is the driver's name, in URLs and errors.
const Name = "nats"
