package sqs

import "time"

// Options are what [New] and [NewFIFO] take instead of a URL's parameters. A zero
// field has its default.
type Options struct {
	// Prefix begins the names of all queues: [A-Za-z0-9_-], short enough for
	// them to stay within SQS's 80 characters. Defaults to none.
	Prefix string
	// Wait is how long a poll waits for jobs: 1 s to 20 s in whole seconds.
	// Defaults to 4 s.
	Wait time.Duration
	// Gather is how long a consumer on a trickle of jobs may wait before it polls again: up
	// to 1 s. It saves requests, and a job waits that much longer for its worker. Defaults to
	// zero.
	Gather time.Duration
	// Retention is how long SQS keeps what nobody receives, dead letters
	// included: 1 h to 14 days in whole seconds. Defaults to 14 days.
	Retention time.Duration
	// MaxMessage is the size of the largest message in bytes, 131072 to 1048576.
	// Defaults to 1048576. Smaller ones are for servers that take no more.
	MaxMessage int
}

// config is what a URL with these options would say.
func (o Options) config(fifo bool) config {
	return config{fifo: fifo, prefix: o.Prefix, wait: o.Wait, gather: o.Gather, retention: o.Retention, maxMessage: o.MaxMessage}.withDefaults()
}
