// Package amqp is the driver for RabbitMQ 4.0 or newer, over AMQP 0-9-1.
//
// # URLs
//
//	amqp://user:password@host:5672/vhost       one node
//	amqps://host:5671?addr=b:5671&addr=c       over TLS, with more nodes to try
//
// The user and the password default to guest, and the vhost to /, also if the path
// is a single slash. A slash in a vhost's name is written %2F. Parameters:
//
//	addr                another node of the cluster; may be given several times.
//	                    The first that answers is used
//	priority            "none" (default) for a [Driver]; "quorum" or "classic" for
//	                    a [PriorityDriver], see below
//	auth                "plain" (default), or "external", with amqps only, to take
//	                    the user from the client's certificate
//	dial_timeout        for making a connection (10s; 10ms to 10m)
//	heartbeat           how often each side sends a heartbeat (10s; 1s to 10m); a
//	                    connection without one for three times as long is given up
//	tls_ca, tls_cert, tls_key
//	                    with amqps only, PEM files: the authority of the server's
//	                    certificate, the client's certificate and key
//	tls_server_name     with amqps only: the name in the server's certificate
//
// # Permissions
//
// The user needs these, and nothing more:
//
//	rabbitmqctl set_permissions -p VHOST USER '^batch\.' '^(batch\.|amq\.default$)' '^batch\.'
//
// To configure, for the queues; to write, for the queues and for the default exchange,
// through which they are reached, and to which what leaves a delay queue goes; to read,
// for the queues. A program that only enqueues on queues that others have declared can
// do without the first, if it never is the first to delay a job. For the queues of one
// name they are ^batch\.NAME(\.|$) in place of ^batch\. throughout. A right that is
// missing is driver.ErrUnauthorized, at once, in RabbitMQ's words, which name the right.
//
// # Two driver types
//
// A [Driver] keeps jobs in quorum queues: replicated, and handed out about in the
// order of enqueue. It has no priorities. A [PriorityDriver] hands out strictly by
// priority. With priority=quorum it uses the same queues, which order by priority
// as of RabbitMQ 4.3. With priority=classic it uses classic queues, which do so on
// every version, but live on one node and are not replicated. Opening it on a
// broker that is too old fails with driver.ErrUnsupported.
//
// # What is promised
//
// A job is confirmed when a majority of the queue's members has it on disk, and
// routed: publishing to a queue that was deleted is driver.ErrNotFound. A retry, a
// release and a dead letter are confirmed before the old message is acknowledged.
// There is no way to do both in one step, so a crash in between may double a job, and so
// may a Settle whose ctx ends before the confirm has come. Of delayed jobs that fall due,
// each is acknowledged as its confirm comes, and at most 256 are under way, which is what
// a crash can double: those that RabbitMQ has stored and whose confirm has not come, a few
// milliseconds' worth.
//
// One gap is RabbitMQ's own: a node records which quorum queues it has up to a
// second after they were declared. If it is killed in that second, a queue without
// members on other nodes comes back unusable, along with the jobs confirmed in it.
// This concerns only the first second of a queue's life. Delay queues are made
// later than the queue, and not used before they are two seconds old.
//
// # How it works
//
// There are two connections. One publishes, on one channel, with up to 8 calls of
// Enqueue waiting for confirms at once; the other has two channels for each consumer,
// and one for each call that declares, counts or lists something. RabbitMQ allows 2047
// channels on a connection, or channel_max: beyond 896 consumers, or as many as leave one
// channel in eight free, they take another connection. What is published, its confirms and
// what is delivered pass the client library by. When RabbitMQ is
// short of memory or disk it does not read from the publishing connection, and
// calls wait until it does or their deadline comes. Acknowledgements go on, and jobs
// that can be neither settled nor kept are given back and handed out again.
//
// A connection that the other side has closed is noticed before something is published
// on it. So is one that something on the way has cut without a word, when the broker
// has been silent for a heartbeat, or for 10 s if that is less: then the driver first
// asks for a sign.
//
// A queue is three of RabbitMQ's: for jobs, for dead letters, and for delayed jobs on their
// way; the first delay or retry of 64 ms or more makes 16 delay queues beside them. All of
// them are quorum queues, unless priority=classic, where the first is a classic one. So a
// worker with 300 queues has 900 on the broker, and 5700 once a job of each has failed.
//
// Only Declare makes a queue, and the first delayed job of a queue that exists makes
// its delay queues. A call on a queue that does not exist is driver.ErrNotFound and
// makes nothing, also if the handle declared the queue before and somebody has
// deleted it since. Any other part of a queue that somebody removes, the queue of its
// dead letters or a delay queue, is made again with the next call that needs it; what
// was in it is lost. If the queue between the delay queues was removed while no worker
// ran, what is in them may then be up to three minutes late: RabbitMQ looks for it that
// often.
//
// A lease is the channel on which a delivery came. It needs no extending, and ends
// with the channel: all that it held is handed out again. The consumer timeout,
// by which RabbitMQ takes back a delivery that is held for half an hour, is set to 40
// days, up to 4.2 by an argument of the queue and as of 4.3 by one of the consumer.
// Before 4.3 a policy with a smaller consumer-timeout is above that, and jobs that take
// longer then run twice. A connection that ends is made anew by
// the next call that needs it, once; receipts of the old one are not valid on it.
//
// RabbitMQ counts how often a job's holder was lost, and the driver reports that as
// Redeliveries. In queues without priorities, as of 4.3, a job that is released goes back
// by basic.nack: it keeps its place, and counts as handed out, not as lost. Elsewhere
// RabbitMQ takes what is returned to it for lost, so that such a job is published anew
// with its counts, confirmed, and then acknowledged: it goes to the end of its level. A
// consumer that is stopped or closed gives back in the same way what RabbitMQ had pushed
// to it and no Receive had returned; where that is by basic.nack, Deliveries counts it.
// RabbitMQ can drop a message after a number of deliveries; the driver's queues switch
// that off.
//
// Before 4.3 one count can be too high. When a consumer of a quorum queue ends its
// subscription, which it does to stop, to close, and to release a job while no Receive
// is under way, RabbitMQ may have jobs on the way from the queue to the channel.
// It does not send these, but returns them to the queue by itself and counts that,
// so that each has one more Redeliveries although nobody was handed it. The client
// never sees such a job, and AMQP has no way to end the flow before the subscription.
// It takes free room in the prefetch, and a job that arrives within about a
// millisecond of the end. As of 4.3, and in classic queues, this does not happen.
//
// An entry that is no job goes to the dead letters. If they take nothing at the moment,
// it is held and tried again after 1 s, and then up to a minute apart; a Receive reports
// that each time. For every half of the prefetch that is taken up in this way the
// subscription is made anew, so that the jobs behind are handed out.
//
// # Jobs that come back
//
// A job that comes back is handed out
//
//	                        Driver, 4.3 or newer    Driver, before 4.3      PriorityDriver
//	its holder was lost     before newer ones       before newer ones       after those of its level
//	its settlement failed   before newer ones       after newer ones        after those of its level
//	it was never received   before newer ones       after newer ones        after those of its level
//	it was released         before newer ones       after newer ones        after those of its level
//
// Where it is stored anew it goes to the end: before 4.3, since RabbitMQ would take it for
// one whose holder was lost, and in a queue with priorities, since a quorum queue would
// hand it out before jobs of higher levels.
//
// # Delayed jobs, dead letters and counts
//
// Delayed jobs and retries go through 16 delay queues, each with a TTL of its own.
// When that is over, RabbitMQ moves a job to a queue which the consumers of the
// job's queue read. They put it on the delay queue for what is left of its delay,
// or hand it out. That needs at least one open consumer on the queue; without one,
// delayed jobs wait, and are late. The delay queues are made with the first job
// that is delayed by 64 ms or more.
//
// How long a job is held back is measured by the broker and, for processes on one
// machine, by a clock that counts from its start, so that their time of day may be set
// at will. RabbitMQ however goes by its own time of day, and looks once a minute whether
// somebody has set it. If it was set forward, the jobs in delay queues leave them early,
// which a worker on the machine that delayed them makes good, and others cannot see. If
// it was set back, RabbitMQ keeps what is in a delay queue at that moment for as long as
// the step, and every job that is delayed later and gets into the same queue stays behind
// it. The consumers see to that: for each delay queue a process notices when nothing has
// come out for longer than its TTL and a job should be in it, asks how many are in it, and
// moves by hand what has been there for too long. So after a step of an hour, delays and
// retries of up to 8 s are late by 16 s at most, and up to 25 s if another machine than the
// worker's delayed them. In general a job is late by the TTL of the longest delay queue
// that it is in, or by 15 s if that is more, and a second; by the TTL and a thousandth of
// it more if another machine delayed it; and never by more than the step. The TTL is at
// most the delay. What is delayed after that is in time. Nothing is early, and a connection
// that ends meanwhile can double 256 jobs. A process that has consumers but has neither
// delayed a job nor seen one come out looks at all delay queues 15 s after it begins and
// every ten minutes, so that a program without consumers that delayed the only job before
// the step may wait for that long. None of it needs a clock that is right. A clock that is
// slewed, as NTP does, has no effect.
//
// The price is one passive queue.declare for a delay queue that has been used, in 15 s or
// its TTL, and none while jobs come out of it. If there is a job in it nevertheless, it is
// taken and returned once in that time, by one process. RabbitMQ counts that as a delivery
// of the delay queue, where the driver has no limit; that of a policy applies. Other
// processes that would look are refused a lock, which RabbitMQ logs as an error of a channel,
// and look less and less often, down to every four minutes.
//
// Dead letters are in a queue of their own. AMQP can look at messages only by
// taking them, so listing, redriving and discarding each read all of them, one
// call at a time on the whole broker, also for one page: the order in the queue is that
// in which workers with different clocks stored them, and there is no other place to go
// on from than what a dead letter says of itself. 20 000 take half a second. A call whose
// ctx ends goes on in the background until it has given them back. Count them with Depth,
// which is cheap.
//
// Depth asks for the number of ready messages in up to 19 queues. It does not know
// how many jobs are running, nor how long one has been waiting. Due is zero while no
// delayed job waits for a consumer. Otherwise it is unknown: these jobs are due, or
// have to go to another delay queue in time, and what a message says of that can only
// be read by taking it. Either way they need a worker to go on, if only for a moment,
// so a program that starts workers should take an unknown Due for one job that waits.
//
// Purge removes what Depth counts as waiting. A job that RabbitMQ has pushed to a
// consumer is running, and stays. Import keeps a level in any queue, and refuses a
// job with a group or a dedup key.
//
// AMQP cannot list queues. That takes RabbitMQ's management API, which is a plug-in
// with an address and permissions of its own, so that no type of this package is a
// driver.QueueLister. Nor is one a driver.Inspector or a driver.Pauser: AMQP can look
// at a job, or keep it from consumers, only by holding it.
//
// # Sizes
//
// RabbitMQ ends the channel of a message that is larger than its max_message_size, and
// does not tell what that is before. So the driver tries a body that is larger than all
// before it on a channel of its own, where nothing else is harmed, and refuses larger
// ones from then on. If the limit is lowered while a program runs, what was under way
// on the channel is published again, but for what RabbitMQ had read before and not
// confirmed, which may be stored. The properties and headers of a message have to fit
// into one frame; what does not is driver.ErrTooLarge and not sent. A message of another
// program that has no room for what the driver has to note is moved without its largest
// headers, and its error says so.
//
// # Policies
//
// An operator can make policies for queues, which AMQP can neither read nor refuse, and
// a pattern like .* is for the driver's queues too. These are declared with arguments
// that RabbitMQ puts above a policy, or that decide what becomes of a job that a policy
// takes out of its queue:
//
//	max-length, max-length-bytes     Enqueue is driver.ErrFull; delayed jobs and retries
//	                                 wait until there is room
//	overflow: drop-head              on quorum queues, where RabbitMQ puts it above the
//	                                 argument, the oldest jobs become dead letters
//	overflow: reject-publish-dlx     on quorum queues the new job becomes a dead letter
//	message-ttl                      the job becomes a dead letter
//	delivery-limit                   the job becomes a dead letter
//	dead-letter-exchange and so on   no effect
//
// Such a dead letter has the reason [driver.ReasonRemoved], and its error names the queue
// and RabbitMQ's word for it. A dead letter that a policy takes out of the dead letters is
// put back by any open consumer of the queue. What the driver cannot make good:
//
//   - expires deletes queues with what is in them, when nobody consumes from them. The
//     dead letters and delay queues have no consumer in the ordinary case.
//   - message-ttl on the delay queues, if it is less than theirs: a delay is then early
//     where the worker runs on another machine than the program that delayed the job.
//   - message-ttl, delivery-limit or drop-head on the dead letters while no consumer is
//     open: what leaves them twice is lost.
//
// rabbitmqctl list_queues name effective_policy_definition shows what applies.
//
// # Logging
//
// The driver writes no log, and neither does its client library, amqp091-go, unless
// the program gives that a logger with amqp091.SetLogger. All that either has to say
// is in errors.
//
// docs/wire-amqp.md describes the queues and the messages, and what a producer in
// another language does.
package amqp

// Name is the driver's name, and the scheme of its URLs.
const Name = "amqp"
