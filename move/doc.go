// Package move carries a live queue from any broker to any other, or to another name on the same
// broker, while its producers and workers go on:
//
//	progress, err := move.Run(ctx, oldBroker, newBroker, "emails")
//
// docs/move.md is the procedure for production. batch move is the same as a command.
//
// # What is moved
//
// Jobs that wait, jobs that are scheduled (with what is left of their delay), and dead letters, each
// with its ID, body, headers, priority, group, Unique key, times, attempts and history. What is not
// carried over: how often a holder vanished with the job, since the one that counts that is the
// broker; and that a Unique key is taken, see below. Jobs that are running stay with their workers: if
// they fail they are moved when they wait again.
//
// # How
//
// A waiting job is received from the source, stored on the target, and then settled as done. Its lease
// keeps it from everybody else meanwhile. So do the jobs of a group keep their order: the source hands
// out the next of a group when the one before is settled, and the target puts each at the end.
//
// Dead letters are listed, stored, and then discarded. Those with one ID are stored together before any
// of them is discarded, since to discard one discards all.
//
// Scheduled jobs are listed, stored and then deleted, where the source can be looked into
// ([batch.Inspector]). No lease protects them, so only those are moved that are not due for half a minute:
// they are deleted well before anybody could be handed them. Others are moved when they have become due.
// To take all of them only then would be simpler, and is what happens on RabbitMQ and SQS, which cannot
// list them: there the move goes on until the last of them is due. Where a delay may be a month, the old
// broker would have to stay for a month.
//
// # What is promised
//
// Nothing is lost. Whenever the mover or a broker dies, each job is on the source, on the target, or on
// both. It is on both if the mover dies after it has stored a job and before it has removed it. Then
// the next one finds out, where the target remembers what it has imported ([driver.OnceImporter]: the
// memory, Redis, NATS and PostgreSQL drivers), and only removes it: the mover gives each job an import key, which is
// neither its ID nor its Unique key, and the target remembers that for its dedup_window, 24 hours by
// default. On RabbitMQ and SQS the job is there twice, with the same ID, as after any other
// delivery at least once. If workers of the source go on, one of them may get the job before the next mover does, and
// both sides run it, as after a lease that ended. These may be doubled on any target, and are counted in
// [Progress].Doubled if the mover knows of them:
//
//   - a job whose lease ended before it could be settled: the source may have handed it to a worker;
//   - a scheduled job or a dead letter that somebody else deletes, redrives or moves in the same moment;
//   - a scheduled job that a mover stored and did not delete as it died, if no other mover runs before it is due.
//
// Dead letters and scheduled jobs are removed from the source by their IDs. If IDs are used again, a job that dies or is
// scheduled in the same moment with the ID of one that is being moved may be removed in its place. The move ends with an error
// if it has discarded more dead letters than it stored. So it does if another mover moves the other way, which must not be.
//
// A queue is not moved to itself: where source and target may be one queue, a dead letter of the kind batch.move.probe is stored on
// the target, looked for on the source, and discarded, before anything is moved.
//
// Any number of movers may work on one queue at a time: they share the jobs that wait by leases. On RabbitMQ
// and SQS, which remember nothing, let one of them at most have the scheduled jobs and dead letters, and the
// others only those that wait: [Only].
//
// # What the target cannot keep
//
// A job that the target cannot keep as it is stops the move with a [*RefusedError], before anything of it
// is stored: one with a priority or a group on a broker without, or with a body that is too large. The job
// is given back to the source. [Drop] says which properties may be given up, [LeaveRefused] that
// such jobs stay, and [Park] that they become dead letters of the source: for a move that never ends, such
// as one behind batch.EnqueueTx on PostgreSQL (docs/outbox.md). What the target refuses because of its settings ends the move nevertheless.
//
// # Unique keys
//
// A moved job keeps its Unique key (as a [Property] it is the [DedupKey]), and the target does not count it as taken: nobody can tell how much of its
// window is left, and a key that is taken for too long refuses jobs that somebody needs. The source still
// counts the key of a waiting job as taken, so producers that still use it are told of duplicates.
// After a producer has changed to the target, one more job with the key may be stored there. For
// scheduled jobs and dead letters the source frees the key, as it does when one is deleted.
package move
