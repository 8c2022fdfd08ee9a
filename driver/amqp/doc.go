// Package amqp is the driver for RabbitMQ 4.0 or newer, over AMQP 0-9-1.
//
// # URLs
//
//	amqp://user:password@host:5672/vhost       one node
//	amqps://host:5671?addr=b:5671&addr=c       over TLS, with more nodes to try
//
// Without a user it is guest, and without a path or with a single slash the
// vhost /. A slash in a vhost's name is written %2F. Parameters:
//
//	addr                another node of the cluster; may be given several times.
//	                    A connection is made to the first that answers
//	priority            "none" (default) for a [Driver]; "quorum" or "classic" for
//	                    a [PriorityDriver], see below
//	auth                "plain" (default), or "external" to take the user from the
//	                    client's certificate
//	dial_timeout        for making a connection (10s)
//	heartbeat           how often a sign of life is exchanged (10s); a connection
//	                    without one for three times as long is given up
//	tls_ca, tls_cert, tls_key
//	                    PEM files: the authority of the server's certificate, the
//	                    client's certificate and key
//	tls_server_name     the name in the server's certificate
//
// The user needs the permissions configure, write and read on ^batch\., and write
// on the default exchange.
//
// # Two driver types
//
// A [Driver] keeps jobs in quorum queues: replicated, and handed out about in the
// order of enqueue. It has no priorities. A [PriorityDriver] hands out strictly by
// priority: with priority=quorum from the same queues, which order by priority as
// of RabbitMQ 4.3, and with priority=classic from classic queues, on every
// version, which live on one node and are not replicated. Opening it on a broker
// that is too old fails with driver.ErrUnsupported.
//
// # What is promised
//
// A job is confirmed when a majority of the queue's members has it on disk, and
// routed: publishing to a queue that was deleted is driver.ErrNotFound. A retry
// and a dead letter are confirmed before the old message is acknowledged. There is
// no way to do both in one step, so that a crash in between may double a job.
//
// One gap is RabbitMQ's own: a node writes down which quorum queues it has up to a
// second after they were declared. If it is killed within that second, a queue
// that has no other members comes back dead, with what it had confirmed. That
// concerns the first second of a queue's life. Delay queues are made later than the
// queue, and not used before they are two seconds old.
//
// # How it works
//
// There are two connections. One publishes, on one channel, with up to 8 calls of
// Enqueue confirmed at once; the other has a channel for each consumer, and for
// each thing that is declared, counted or listed. When RabbitMQ is short of memory
// or disk it does not read from the publishing connection, and calls wait until it
// does or their deadline comes.
//
// A lease is the channel on which a delivery came. It needs no extending, and ends
// with the channel: all that it held is handed out again. The consumer timeout,
// by which RabbitMQ ends channels that hold a delivery for half an hour, is set to
// 40 days by an argument of the consumer. A connection that ends is made anew by
// the next call that needs it, once; receipts of the old one are not valid on it.
//
// RabbitMQ counts how often a job's holder was lost, and the driver reports that
// as Redeliveries; on quorum queues without priorities it includes releases, as a
// job that was released keeps its place by being returned. The limit of
// deliveries after which RabbitMQ drops a message is off.
//
// Delayed jobs and retries go through 16 delay queues, whose messages stay for a
// time and then go to a queue that consumers of the job's queue read: delay.go
// tells how. They are handed out while at least one consumer is open on the queue;
// if none is, they wait, and are late. The delay queues are made with the first job
// that is delayed by 64 ms or more.
//
// Dead letters are in a queue of their own. AMQP can look at messages only by
// taking them, so that listing, redriving and discarding reads all of them, one
// call at a time: see browse.go. Count them with Depth, which is cheap.
//
// docs/wire-amqp.md describes the queues and the messages, and what a producer in
// another language does.
package amqp

// Name is the driver's name, and the scheme of its URLs.
const Name = "amqp"
