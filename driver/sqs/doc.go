// Package sqs is the driver for Amazon SQS: standard queues by [Driver], FIFO
// queues by [FIFODriver].
//
// # URLs
//
//	sqs://eu-west-1                        standard queues of a region
//	sqs+fifo://eu-west-1/prod-             FIFO queues whose names begin with prod-
//	sqs://KEY:SECRET@us-east-1/?endpoint=http://localhost:4567
//
// What the URL leaves open comes from the SDK's standard chain: region and
// credentials from the environment, the shared config and credentials files, a
// web identity, a container or an instance role. Parameters:
//
//	profile          the profile of the shared config files
//	role_arn         a role to assume, with external_id and role_session
//	session_token    the third part of temporary credentials in the URL
//	endpoint         another server than the region's, or a VPC endpoint
//	wait             how long a poll waits for jobs (4s; 1s to 20s). At shutdown a
//	                 worker gives its consumers 5s: a longer wait may be cut off,
//	                 and a job that SQS hands out just then is hidden for a lease
//	retention        how long SQS keeps what nobody receives (336h; 1h to 336h)
//	max_message      the size of the largest message (1048576; from 131072), for
//	                 servers that take less
//	connections      idle connections to keep (64)
//
// # What is promised
//
// An enqueue succeeds when SQS, which stores a message in several zones before
// it answers, has answered. SQS keeps no message for longer than 14 days, so a
// job is lost if no worker serves its queue for that long, and a dead letter if
// nobody redrives it: that is SQS's bound, and nothing in the driver hides it. As
// long as a worker is there, delays and retries go on for as long as they are
// asked for: see below.
//
// A standard queue delivers at least once and may, rarely, deliver a job twice
// or out of order. On AWS the counts of Depth lag by up to a minute, a queue that
// was deleted takes jobs for up to a minute more and loses them, and its name is
// free after that minute.
//
// # Capabilities
//
// Both types hold jobs back ([driver.Delayer]). SQS holds a message back for 15
// minutes at most, in whole seconds. What is beyond is carried by the consumers of
// the queue: a message that comes before its time is sent on with what is left of
// the delay, the new one stored before the old one is deleted, and for the last
// fraction of a second it is kept in the process. So a delay of a year takes one
// send, receive and delete each quarter of an hour, ten jobs to a request. A time
// is computed by SQS's clock alone. No message grows old that way, but with no
// worker for the queue's retention, a delayed job is lost like any other.
//
// The others are missing, because SQS cannot keep what they promise:
//
//   - Deduplication: a FIFO queue accepts a second message with the
//     deduplication ID of the first, and drops it. Its answer does not say so,
//     and of two concurrent producers neither can find out whose job was stored.
//     A duplicate could be dropped but not be reported.
//   - Groups: a FIFO queue hands out nothing of a message group while its head is
//     hidden, but the head cannot be changed. A retry would have to be the same
//     message, which cannot note its failures and their text, or a new one, which
//     stands at the end of its group. So this driver gives each job a group of its
//     own.
//   - Priorities, atomic enqueueing of many, looking into a queue, pausing: SQS has
//     nothing of the kind.
//
// What a FIFO queue is still good for: SQS neither delivers a job twice nor stores
// a retry twice by itself. It costs a quarter more, and needs a second queue for
// what is delayed. If in doubt, use standard queues.
//
// # How it works
//
// The queue "mail" is the SQS queue mail, with its dead letters in mail-dead; on
// FIFO queues they are mail.fifo, mail-fifo-retry and mail-fifo-dead, the last two
// standard queues. docs/wire-sqs.md describes names and messages, and what a
// producer in another language does.
//
// A lease is SQS's visibility timeout. SQS does not check it strictly, so the
// driver counts it itself too. SQS ends it after 12 hours for good: a job that
// runs for longer runs twice. As it does not tell a release from a holder that
// vanished, Delivery.Redeliveries counts both.
//
// Dead letters are listed by receiving all of them and giving them back, which
// takes a second or more and hides them from other listings meanwhile.
//
// Long polls run by themselves and Receive takes what they bring: a poll that is
// cut off may have been handed a job already. One is under way on an idle queue,
// more while they bring jobs, up to 16.
package sqs

// Name is the driver's name.
const Name = "sqs"
