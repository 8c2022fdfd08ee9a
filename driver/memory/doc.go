// Package memory is the driver that keeps jobs in the memory of the process.
// It has every capability, needs no broker, and is made for tests, demos and
// work that may be lost with the process. For jobs that must outlive the
// process without a broker there is the embedded NATS driver.
//
// # Broker and handle
//
// A [Broker] is the store. A [Driver] is a handle on one, as a connection is
// to a broker on the network, and a broker may have many. [New] makes both:
//
//	d := memory.New()
//
// Two handles on one store, as two processes would have:
//
//	b, err := memory.NewBroker(memory.Options{MaxJobs: 1000})
//	producer, err := b.Open()
//	worker, err := b.Open()
//
// By URL, memory:// makes a broker of its own, and memory://name opens the
// broker of that name in this process. A named broker begins with the first
// handle on it and ends, with all its jobs, when the last one is closed. A
// broker made by [New] or [NewBroker] lives as long as it is referenced.
//
// The URL's parameters are max_bytes, max_jobs and dedup_window; see [Options].
//
// # What is confirmed
//
// An operation takes effect in one instant, under the lock of its queue. What
// took effect is confirmed, and its call returns success; what did not returns
// an error with [driver.FateNotStored]. No error leaves the fate unknown.
// [Broker.Crash] cuts all handles and keeps what is confirmed: queues, jobs
// with their delays and histories, dead letters, remembered keys, pauses. The
// leases end, so that what was delivered and not settled is available at once. Open
// transactions are rolled back.
//
// # Order
//
// Jobs of one level are handed out in the order in which they became ready: by
// enqueue, by the end of a delay or by a redrive. A job that is released, or
// whose lease ended, goes back to where it was. A job of a group keeps the
// place of its enqueue also after a retry, as nothing of its group may overtake
// it. Within a group the order of enqueue comes before priority. What is imported
// goes to the end, and an imported dead letter where its DeadAt says.
//
// # Leases
//
// A lease ends by the monotonic clock, to the nanosecond: from then on the job
// is available to others with its Redeliveries counted up, and settling or
// extending the delivery fails with [driver.ErrLeaseLost]. Closing a consumer or
// its driver does not shorten the leases of what it still holds, because their
// handlers may still run. A delivery may be settled and extended by any consumer
// of its queue. Only Receive hands out jobs, so that a consumer holds nothing that it
// did not return, and Stop has nothing to give back.
//
// # Depth
//
// The counts are exact and cost nothing. Depth.Due is zero: a scheduled job waits from
// its time on, also while nobody looks. Depth.Age is exact; a job that is released or
// lost waits anew from then on.
//
// # Dedup keys
//
// A key is remembered for DedupWithin, or else for the dedup_window, also after its
// job is done or dead. Deleting, purging or discarding the job that took the key frees
// it, and so does DeleteQueue. Import keys are remembered for the dedup_window, each counts
// towards max_bytes, and only ForgetImports and DeleteQueue free them.
//
// # Transactions
//
// A [Tx] stands for a transaction of the application's database in tests of code that uses
// batch.EnqueueTx and batch.CompleteTx. [Driver.Begin] begins one. What it stores and
// completes takes effect at its Commit, in one instant on all queues. Until then
// what it stores takes room and holds its dedup keys: another call with such a key waits for
// the end of the transaction, and knows then whether it is a duplicate. Of transactions that
// wait for each other one gets an error that wraps [driver.ErrUnavailable], at once. The
// window of a key begins with the commit, and so does the place of a job in the order.
//
// # Queues
//
// Only Declare makes a queue. A call on one that does not exist fails with
// driver.ErrNotFound. ListQueues lists all queues of the broker.
//
// # Cost
//
// Enqueue, receive and settle take the queue's lock once a call, however many
// jobs it has, and cost O(1) for each job without a delay. A job with a delay, a
// group or a DedupWithin of its own, or one that returns to its old place, costs
// O(log n). The driver has no
// goroutine: a queue has at most one timer, and only while a Receive waits on it.
//
// Bodies and headers are not copied. As the contract of package driver says,
// they must not be modified once they are enqueued.
package memory

// Name is the driver's name, and the scheme of its URLs.
const Name = "memory"
