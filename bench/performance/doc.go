// Package performance compares batch with other Go libraries for jobs and messages, and with the raw
// clients, on the same brokers:
//
//	make performance
//	make performance BROKER=redis WORKLOAD=enqueue-1,process PEER=batch,asynq ROUNDS=5
//	make performance QUICK=1
//
// It writes docs/performance.md with its plots, and docs/performance/results.json, from which the page is
// made. A run that is filtered replaces the rows that it measured and keeps the others. It needs Docker, and a C
// compiler for SQLite. All brokers in five rounds take a night.
//
// # What can be chosen
//
// Each list has commas between its names, and all are measured where it is empty. A name that there is not
// ends the run before it measures, and lists those that there are.
//
//	BROKER    redis, rabbitmq, nats, sqs, postgres, files, synced. The last two are for what needs no broker, or a
//	          database: in synced what is confirmed is on the disk
//	WORKLOAD  the bold names of the page: enqueue-1, enqueue-64, process, pickup, queues-500 and so on
//	PEER      the first column of the page, without a comma in a name: PEER='batch,raw gathered,asynq fastest'
//	ROUNDS    5, and 1 with QUICK
//	BACKLOG   the jobs of the workload of that name, for the quick form too: 1000000, and 50000 with QUICK
//	QUICK     1 for the quick form, of a few seconds a measurement: it shows that a row runs and counts right
//
// # Parts
//
// A folder each:
//
//	peer     what a library must do to take part: three methods
//	peers    the libraries, one a file, and the table of all rows
//	load     the workloads, one a file, and the meters
//	report   the page and its plots
//
// # How it measures
//
// A measurement is one peer doing one workload once, in a process of its own, so that no peer meets the heap,
// the goroutines or the connections of another. A round is one measurement of each peer of a broker, in random
// order; the next round follows, so that all of them see the same weather. A figure is the median of the
// rounds, with the lowest and the highest beside it.
//
// Syncs to the disk are counted in one measurement more of each peer in the workloads of a rate, after the rounds and
// not timed: the kernel counts them, which takes Linux and root, and makes every system call a little longer. Where that
// cannot be, the page has no such column.
//
// Every job has a number. The workloads count which numbers came to a handler: a measurement in which one
// was missing says so on the page.
//
// It is a module of its own, because the peers and what they require are for nobody else.
package performance
