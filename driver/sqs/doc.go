// Package sqs is the driver for Amazon SQS: standard queues by [Driver], FIFO
// queues by [FIFODriver].
//
// # URLs
//
//	sqs://eu-west-1                        standard queues of a region
//	sqs+fifo://eu-west-1/prod-             FIFO queues whose names begin with prod-
//	sqs://KEY:SECRET@us-east-1/?endpoint=http://localhost:4567
//
// If the URL has no region or no credentials, they come from the SDK's standard
// chain: the environment, the shared config and credentials files, a web identity,
// a container or an instance role. Parameters:
//
//	profile          the profile of the shared config files
//	role_arn         a role to assume, with external_id and role_session
//	session_token    the third part of temporary credentials in the URL
//	endpoint         the URL of the server, if it is not the region's own: a VPC
//	                 endpoint or an SQS-compatible server
//	tls_ca           a file with the certificates, in PEM, that sign the server's; by
//	                 default those of AWS_CA_BUNDLE, and without it the system's
//	tls_cert, tls_key, tls_server_name
//	                 the client's own certificate, and the name in the server's
//	wait             how long a poll waits for jobs (4s; 1s to 20s in whole seconds).
//	                 A consumer that stops waits for its polls. One that is not given
//	                 that long cuts them off, and a job that SQS hands out just then
//	                 is hidden for a lease
//	gather           how long a consumer on a trickle of jobs may wait before it polls
//	                 again, which saves requests (0s; up to 1s), see below
//	retention        how long SQS keeps what nobody receives (336h; 1h to 336h in
//	                 whole seconds)
//	max_message      the size of the largest message in bytes (1048576; from
//	                 131072), for servers that take less
//	connections      how many idle connections are kept (64; 2 to 10000); it does not
//	                 bound how many there are
//
// # What is promised
//
// An enqueue succeeds when SQS, which stores a message in several zones before
// it answers, has answered. SQS keeps no message for longer than 14 days, so a
// job is lost if no worker serves its queue for that long, and a dead letter if
// nobody redrives it: that is SQS's bound, and the driver cannot lift it. As long
// as a worker is there, delays and retries may be longer, see below.
//
// A standard queue delivers at least once and may, rarely, deliver a job twice
// or out of order. In which order jobs are handed out is not in the driver's hands, on
// queues of either type: SQS keeps roughly that of the sends, and a job that comes back,
// because its holder vanished or gave it back, may come before newer ones or after all
// of them.
//
// What was made by the driver beside a queue's jobs and was removed by somebody, the
// queue for dead letters or that for retries, is made again when it is next needed. SQS
// refuses that for a minute after the removal; settlements that need it wait as long.
//
// A queue whose settings would drop, move or hold back jobs is refused by Declare, which
// a worker calls when it starts, with the setting's name: a RedrivePolicy, a
// MessageRetentionPeriod below the URL's retention, a DelaySeconds, a MaximumMessageSize
// that is too small, or smaller for dead letters than for jobs. Other settings are the
// operator's.
//
// What a message or an answer of the server says is checked before it is believed. A
// message of another producer whose numbers are out of bounds, or whose ID is none,
// becomes a dead letter that says so. A server whose answers lack what the driver relies
// on (SentTimestamp, ApproximateReceiveCount, ApproximateFirstReceiveTimestamp and
// MD5OfMessageAttributes, and results by ID) is refused with the first of them, by
// [driver.ErrUnsupported].
//
// A job of another producer may be as large as SQS takes, so that there is no room for
// its history: a retry of it fails with [driver.ErrTooLarge], and the worker makes it a
// dead letter, without its headers and, if need be, without all else that is not needed
// to read it.
//
// A queue that does not exist is [driver.ErrNotFound], and only Declare makes
// anything. On AWS a queue that was deleted takes jobs for up to a minute more and
// loses them, and is listed as long. SQS refuses to make one of its name for that
// minute: Declare then says so, by [driver.ErrUnavailable].
//
// Depth counts by SQS's own numbers, which lag by up to a minute on AWS. A job that
// is held back for a fraction of a second counts as waiting for that fraction, as SQS
// counts whole seconds, and one whose delay is longer than 15 minutes from the end of
// each quarter of an hour until a consumer sends it on. Due is zero, as SQS brings jobs forth by
// itself. Age is unknown while jobs wait: only CloudWatch has it, as
// ApproximateAgeOfOldestMessage.
//
// A call returns when its context ends, whatever it is waiting for: a lookup of
// credentials, a dial, a handshake, an answer. What it has begun to give back is given
// back after it. A connection that the server has closed while it was idle is noticed
// before a request is written to it.
//
// # Permissions
//
// What the policy must allow on the queue and the SQS queues beside it, by the actions
// of IAM, which has none of their own for batches. A right that is missing is
// [driver.ErrUnauthorized], at once, and the error names it. New connections ask for a
// queue that does not exist, and take a denial for an answer.
//
//	all calls on queues  sqs:GetQueueUrl, sqs:GetQueueAttributes
//	Declare              sqs:CreateQueue, if a queue does not exist
//	Enqueue, Import      sqs:SendMessage
//	Receive, Settle      sqs:ReceiveMessage, sqs:SendMessage, sqs:DeleteMessage
//	Extend               sqs:ChangeMessageVisibility
//	DeadLetters          sqs:ReceiveMessage, sqs:ChangeMessageVisibility
//	Redrive              sqs:ReceiveMessage, sqs:SendMessage, sqs:DeleteMessage, and
//	                     sqs:ChangeMessageVisibility unless all are selected
//	Discard              as Redrive, without sqs:SendMessage
//	DeleteQueue          sqs:DeleteQueue
//	ListQueues           sqs:ListQueues
//
// A worker calls Declare, Receive, Settle and Extend; a producer Declare and Enqueue.
//
// The driver logs nothing, and the SDK is told to log nothing: errors say it all.
//
// # Capabilities
//
// Both types store jobs as they were elsewhere ([driver.Importer]), and list their
// queues ([driver.QueueLister]): the SQS queues whose names begin with the URL's
// prefix and that have a queue for dead letters, on FIFO also one for retries, of the
// names that Declare gives these, and no RedrivePolicy. Without a prefix those that
// were declared with one are listed too.
//
// Both types hold jobs back ([driver.Delayer]). SQS holds a message back for 15
// minutes at most, in whole seconds. The queue's consumers do the rest: when one
// receives a message before its time, it stores a new message with what is left of
// the delay and then deletes the old one, and for the last fraction of a second it
// keeps the job in the process. So a delay of a year takes one send, receive and
// delete each quarter of an hour, with up to ten jobs in a request. Only SQS's
// clock is used. As each message is new, a delay may be longer than the retention;
// but if no worker serves the queue for that long, a delayed job is lost like any
// other.
//
// The drivers have no other capability, because SQS cannot keep the promises:
//
//   - Deduplication: a FIFO queue accepts a second message with the
//     deduplication ID of the first, and drops it. Its answer does not say so,
//     and of two concurrent producers neither can find out whose job was stored.
//     A duplicate could be dropped but not be reported.
//   - Groups: a FIFO queue hands out nothing of a message group while its head is
//     hidden, but the head cannot be changed. A retry would have to be the same
//     message, which cannot record its failures, or a new one, which goes to the end
//     of its group. So this driver gives each job a group of its own.
//   - Purging: PurgeQueue takes up to a minute, removes running jobs too and
//     possibly those that are sent meanwhile, and tells no number. And what receives
//     and deletes all jobs does not meet those that SQS hands to a consumer just then
//     and that come back.
//   - Priorities, atomic enqueueing of many, looking into a queue, pausing: SQS has
//     nothing of the kind.
//
// A FIFO queue still has a use: SQS does not by itself deliver a job of it twice or
// store a retry twice. But its requests cost a quarter more than those of a
// standard queue, and it needs a second queue for delayed jobs. If in doubt, use
// standard queues.
//
// # How it works
//
// The queue "mail" is the SQS queue mail, with its dead letters in mail-dead. As a
// FIFO queue it is mail.fifo, with two standard queues: mail-fifo-retry, and
// mail-fifo-dead for the dead letters. docs/wire-sqs.md describes names and
// messages, and what a producer in another language does.
//
// A lease is SQS's visibility timeout. SQS does not check it strictly, so the
// driver keeps the time itself too. SQS does not extend it beyond 12 hours: a job
// that runs for longer runs twice.
//
// SQS counts how often it handed out a message, and does not tell a holder that
// vanished from one that gave the job back. So whatever is given back is a new
// message, with the count of what was lost before: a release, and what polls bring
// that no Receive takes. Of two deliveries that a crash then leaves, the old one
// counts it as a lost holder. On a FIFO queue the new message has a group of its own,
// like any other, and waits for none. A job is counted once too often only if SQS
// handed it out and the answer, or the attempt to give it back, was lost: when a poll
// is cut off, or SQS fails.
//
// Dead letters are listed by receiving them and giving them back, which hides them from
// other listings meanwhile and takes a second or more. A page reads a thousand of them
// or 4 MiB, and pages come from what was read until it is used up; the next read is of
// twice as many, up to 32 MiB, and has to pass all those before. So a page is in order of
// age, and so are all pages of up to a thousand dead letters; of more, in each such part,
// as SQS does not say which message is the oldest. A listing of more than one read is
// kept for five minutes, by the process that made it, as long as all that it keeps is
// less than 64 MiB. Redrive and Discard look at all
// dead letters that there were when they began, so that Redrive of all ends even if the
// jobs die anew at once.
//
// Long polls are not tied to Receive, which takes what they bring: a poll that is
// cut off may have been handed a job already. There is one on an idle queue and on a trickle.
// There is one more, up to 16, each time that a poll brings all it asks for, or a job that
// was there when the poll before ended: SQS's polls often bring fewer jobs than they ask for
// and than there are. Where they do, one Receive has as many polls as bring what it waits for.
//
// A poll takes a connection of its own for as long as it waits. So a worker on 500 idle queues
// has 500 connections, some ten goroutines for each, and sends 125 requests a second, which
// wait=20s makes 25. It starts in 32 rounds of two requests' time, as it opens sixteen queues at
// a time.
//
// # What a job costs
//
// SQS charges for requests, and a request takes ten jobs. Requests for each job, to send,
// receive and delete it, where a request takes 10 ms and the worker has 100 slots:
//
//	jobs          requests  send  receive  delete  with gather=250ms
//	1 a second        3.0   1.0      1.0     1.0   3.0
//	20 a second       2.2   1.0      1.0     0.2   1.4
//	100 a second      2.2   1.0      1.0     0.2   1.3
//	1000 a second     0.5   0.2      0.2     0.1   0.5
//	64 callers        0.3   0.1      0.1     0.1   0.3
//	none              one for each wait of the URL, by each worker and queue
//
// At 20 a second a job waits 10 ms for its worker, and with gather=250ms 145 ms at the median
// and 265 ms at p98.
//
// The caller waits for the send, and a poll ends with the first job that there is, so on a
// trickle neither can be shared without latency. Deletes are shared: on a trickle a
// consumer makes one request in a quarter of a second that deletes fewer than ten jobs, and
// Settle waits until then, while the worker has room for more jobs. A job that
// ends when none did before it is deleted at once. Nothing is held when the consumer stops
// or closes, when its lease was not extended, for more than an eighth of the lease, or for
// more than a quarter of what is left of Settle's context. If the process crashes, what it
// held runs again, like all else that it had not settled.
//
// With gather=250ms polls wait too: a poll begins up to a quarter of a second after the last
// one that brought few jobs, sooner if a request is nearly full by then, and at once if no
// other job is expected. The first job after a pause does not wait. What is held needs room in
// the worker: with the default Concurrency of 10 it is full now and then at a hundred jobs a
// second, and each of them costs 1.3 to 2.2 requests.
//
// So the fewest requests have gather=250ms (with a Concurrency of 10, gather=1s saves no
// more); a Concurrency of 100, for room; wait=20s, with which a worker takes up to 20 s to
// stop; EnqueueMany in place of Enqueue in a loop; and few queues, as each worker polls each
// of its queues.
package sqs

// Name is the driver's name.
const Name = "sqs"
