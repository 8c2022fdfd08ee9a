// Package redis is the driver for Redis 7 or newer and Valkey: one server,
// Sentinel or Cluster.
//
// # URLs
//
//	redis://user:password@host:6379/0        one server, database 0
//	rediss://host:6379                       the same over TLS
//	redis+cluster://a:6379?addr=b:6379       a cluster, with more of its nodes
//	redis+sentinel://a:26379?master=main     the primary that Sentinel names
//
// with rediss+cluster and rediss+sentinel for TLS. Parameters:
//
//	dedup_window        how long a dedup key is remembered at most, and if the job
//	                    does not say (24h; 1s to 720h)
//	dial_timeout        for making a connection (5s; 1ms to 1m)
//	timeout             for the answer to one command (10s; 10ms to 10m)
//	pool_size           the largest number of connections to each node (512; 2 to
//	                    100000); consumers that wait hold 16 of them and a quarter at
//	                    most, however many queues there are, on a cluster half
//	eviction            "allow" to use a server whose maxmemory-policy may evict
//	                    jobs, or with volatile-* the unique keys of jobs; such a
//	                    server is refused otherwise
//	wait_replicas       how many replicas must have a job before an enqueue of it
//	                    succeeds (0; up to 100)
//	wait_aof            "true" to wait as well until the append-only file of the
//	                    primary, and of those replicas, is synced (false)
//	wait_timeout        for both; shorter than timeout (2s; 1ms to 1m)
//
// Only with rediss, rediss+cluster and rediss+sentinel:
//
//	tls_ca, tls_cert, tls_key
//	                    PEM files: the authority of the server's certificate, the
//	                    client's certificate and key
//	tls_server_name     the name in the server's certificate
//
// Only with a cluster or Sentinel:
//
//	addr                another node of the cluster (any will do) or another
//	                    sentinel; may be given several times
//
// Only with Sentinel:
//
//	master              the name that Sentinel has for the primary; required
//	sentinel_user, sentinel_password
//	                    the credentials of Sentinel itself
//
// # Rights
//
// A user with an access control list needs these rights, and no others. An error for want
// of one names it.
//
//	ACL SETUSER batch on >password ~batch:*
//		+hello +auth +ping +select +info +client|setinfo
//		+multi +exec +eval +evalsha +blpop +xreadgroup +scan
//		+copy +del +exists +get +pexpire +rename +rpush +set +time +type +unlink
//		+hdel +hexists +hget +hlen +hrandfield +hscan +hset +hsetnx
//		+xack +xadd +xclaim +xdel +xgroup|create +xgroup|delconsumer
//		+xinfo|consumers +xinfo|groups +xlen +xpending +xrange +xrevrange
//		+zadd +zcard +zcount +zrange +zrangebylex +zrangebyscore +zrank +zrem +zscore
//
// and where they are used +cluster|slots for a cluster, and +lpop there for the queues of a
// process beyond half of pool_size, +wait and +xtrim for wait_replicas,
// +waitaof and +xtrim for wait_aof, and +config|get, so that a proto-max-bulk-len below
// 16 MiB bounds the bodies.
//
// # What is promised
//
// An accepted job is as safe as the server's persistence makes it. appendonly with
// appendfsync always loses nothing. everysec loses about a second if the machine
// dies, and up to two if only the process dies while the disk is slow: as long as
// a sync takes longer, the server keeps what it has confirmed in its memory
// (flushAppendOnlyFile in aof.c; measured).
//
// A failover loses what the replica had not received yet. Of a primary that was killed
// under load beside its replica nothing was lost, of 17 000 jobs in five runs; of one
// whose replica had lost its connection, what was confirmed since. With
// wait_replicas=1 none was lost in either case: an enqueue that no replica has in time is
// an error that says so, and whose job may be stored. A second try of it is in doubt for
// as long, and finds the unique key of the first. Waiting for a replica doubles the time of
// an enqueue (0.3 to 0.6 ms; calls of 500 jobs halve to 43 000 jobs/s). wait_aof costs
// little with appendfsync always, and up to a second a call with everysec. Retries, dead
// letters and redrives do not wait: a failover that loses one leaves the job as it was
// before.
//
// The driver stays with what a server said when it was opened, but for maxmemory-policy,
// for which it asks every half minute beside the calls that store jobs: a server that has
// begun to evict takes no more jobs from it.
//
// Leases and delays are measured by the server's clock. When it is set ahead, delayed jobs
// come early by the step, and leases that are under way end: their jobs run again. When
// it is set back, delayed jobs come late by the step; a lease that is extended goes on, and
// one whose holder is gone ends late by the step. Redis has no other clock for either, so
// let its host's be slewed and not set.
//
// All keys of a queue have the form batch:{queue}:name. docs/wire-redis.md
// describes them, and what a producer or worker in another language does.
//
// A queue exists from Declare to DeleteQueue, with jobs or without: as long as there
// is its key named meta. Each script that stores or reads jobs looks at it in the same
// step, so a job is never stored on a queue that was just deleted. Plain jobs go without a
// script: they are added to streams that are there, which are gone with the queue. If somebody
// removed the meta key alone, they are taken back and the enqueue says that there is no queue.
// A server that was flushed has no queues. A Receive that waits notices within five seconds. ListQueues
// goes through all keys of the database, on every primary of a cluster.
//
// A job that comes back, because its holder vanished or released it, is handed out before
// the newer ones of its level: it has a stream of its own. A retry goes behind them, as a
// delayed job does when it is due. Retries come together: up to a 50th of their delay late,
// and 20 ms at most, as many at once cost the server little more than one.
//
// Every move of a job, from state to state or between keys, is one script. So nothing that
// dies, once or twice, doubles a job in between: only what was running runs again.
//
// What somebody removes while the driver runs comes back where that can be: scripts,
// consumer groups, consumers, the token, and the keys due, behind and groups, from the
// bodies of their jobs. Without its meta key a queue does not exist, until it is declared.
// The jobs of a stream, of bodies and of dead are gone with it.
//
// A job that comes back is stored under a new entry, with its counts. So a release
// changes no count of lost holders, nor does what a consumer gives back that stops.
// One case is counted though nobody ran the job: the connection broke while the reply
// with it was on its way. The server holds it for this consumer until its lease ends,
// also after Stop.
//
// Depth.Due counts the scheduled jobs whose time has come: without a consumer they
// stay. Depth.Age is by the server's clock. It is not known while more than 500 jobs
// stand behind another of their group, which are not in the order of time.
//
// Delete, Discard, Purge and DeleteQueue free dedup keys. A job that was imported
// holds none. Import keys are remembered for the dedup_window in the same way, and only
// ForgetImports and DeleteQueue free them. A job that a version before this stored frees its dedup key if that names
// the job's ID.
//
// # How it works
//
// A queue is five streams, one for each level, with one consumer group each, and five more
// for jobs that came back.
// What must happen together is one Lua script. Jobs without delay, group or dedup key are stored
// by a command each, with one that looks for the queue and COPY for the token in the same request:
// that takes the server half of the time, and a third for a job alone. A user without the right to
// COPY is served by the script, and so are a cluster and wait_replicas. Each script states its cost, which
// does not grow with the queue, and is linear in the jobs that it moves. Of those that
// need more than one command each, at most 250 to 500 are moved by one script, and 1 MiB:
// it keeps the server busy for some 5 ms. EnqueueAtomic is one script, of up to 1000 jobs.
//
// A consumer without jobs waits in BLPOP for a token that tells of something to
// do, and then runs the script that decides what it gets. So pausing, strict
// priority, due times and groups are decided in one place and one step, and a new
// job wakes one consumer and not all.
//
// The first 16 consumers of a driver have a connection each to wait on, with the script
// sent behind the BLPOP: a job is picked up in one round trip. With more they share these 16,
// as a BLPOP may name many keys, and the one whose token came sends the script: two round trips.
// So thousands of queues in one process need no more connections.
//
// A cluster takes no command with keys of different slots. There each queue has a connection
// to wait on, up to half of pool_size in all. The tokens of those beyond that are asked
// for twice a second: raise pool_size if one process has more queues than that.
//
// A lease is the idle time of the group's pending entry; its length is part of
// the consumer's name. Each process looks at its queues, a hundred in one script: which have jobs that may
// be held, and which are gone. It does so once a second where there are jobs, and more often with
// leases below 4 s; where there are none every four seconds, or twice a lease. Of
// those with jobs one consumer looks for lapsed leases and stores those jobs anew, under a new
// entry ID: the former holder can neither settle nor extend them any more. If all processes that
// have a short lease died at once, those with a longer one may find what they held some seconds
// late. A consumer that waits
// looks by itself where there are jobs and five to seven seconds have passed, in case another died while it
// had the token. Jobs that are scheduled make a queue no less idle: each process has a timer for the first.
// An idle queue costs the server 10 µs a look at most.
//
// # A client of your own
//
// With a client that is passed to [New], some of this is the client's: it does not notice
// that an idle connection over TLS was closed by the server, and an enqueue on it may be
// stored for all the caller knows. Set its ConnMaxIdleTime below the server's timeout. It has
// connections for pipelines, which the driver uses, on top of its PoolSize: 10 to each node,
// unless PipelinePoolSize says otherwise.
// Calls end by their context, and what they began by the client's timeouts.
//
// # What go-redis logs
//
// go-redis has one logger for the whole process, which writes to standard error, and
// none for a client. This package replaces it when it is initialized. What go-redis
// says of the clients that [Open] makes, and of the driver's commands, is left out:
// the driver's errors say it. What it says of other clients, one passed to [New] among
// them, goes to standard error in the same form as before. If the application calls
// redis.SetLogger in main, its logger gets everything.
package redis

// Name is the driver's name.
const Name = "redis"
