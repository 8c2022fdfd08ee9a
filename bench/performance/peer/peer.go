// Package peer has what a library must do to be compared.
package peer

import (
	"context"
	"encoding/json"
	"time"
)

// A Job is what is enqueued. Peers encode it as JSON, as their users would.
type Job struct {
	N int64  // its number, by which it is known again
	P string // padding, so that it has the size asked for
}

// Kind names the job.
func (Job) Kind() string { return "performance" }

// Encode returns the job as JSON, for libraries that take bytes.
func (j Job) Encode() []byte {
	text, err := json.Marshal(j)
	if err != nil {
		panic(err) // a number and a string can be encoded
	}
	return text
}

// Decode returns the job of a body.
func Decode(body []byte) (j Job, err error) {
	err = json.Unmarshal(body, &j)
	return j, err
}

// A Handler does a job. An error is a failed attempt.
type Handler func(Job) error

// A Peer is a library with a connection to a broker. Its methods may be called concurrently.
type Peer interface {
	// Enqueue stores one job, and returns when the broker has confirmed it.
	Enqueue(ctx context.Context, queue string, j Job) error
	// EnqueueMany stores jobs in the best way that the library has for many.
	EnqueueMany(ctx context.Context, queue string, jobs []Job) error
	// Work has jobs of all queues of the Place handled, up to concurrency of each queue at a time, and
	// acknowledged when their handler has returned. It returns when they can be handled. What it has
	// started runs until stop.
	Work(ctx context.Context, concurrency int, handle Handler) (stop func() error, err error)
	// Close ends the connection.
	Close() error
}

// A Delayer is a Peer that can enqueue for later.
type Delayer interface {
	// EnqueueAt stores a job that is due at a time.
	EnqueueAt(ctx context.Context, queue string, j Job, due time.Time) error
}

// A Transactor is a Peer that can enqueue in a transaction of the application.
type Transactor interface {
	// EnqueueTx begins a transaction on a pool of the application's own, stores one job in it, and commits it.
	EnqueueTx(ctx context.Context, queue string, j Job) error
}

// The brokers. Postgres has the libraries that keep jobs in it alone. Files and Synced are no servers: libraries that need none, and databases. In Synced what is
// confirmed is on the disk; in Files a crash of the machine may lose the last second, as it may elsewhere.
const (
	Redis    = "redis"
	RabbitMQ = "rabbitmq"
	NATS     = "nats"
	SQS      = "sqs"
	Postgres = "postgres"
	Files    = "files"
	Synced   = "synced"
)

// Brokers are all of them, in the order of the page.
func Brokers() []string { return []string{Redis, RabbitMQ, NATS, SQS, Postgres, Files, Synced} }

// A Place is where a peer works. Nothing of others is there.
type Place struct {
	URL, Addr      string // of the broker, where there is one
	User, Password string
	Region         string // of SQS
	Dir            string // for files
	Sync           bool   // whether a file must be on the disk before a job is confirmed
	Queues         []string
}
