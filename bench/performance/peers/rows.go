// Package peers has the libraries that are compared, one a file, and the table of them.
package peers

import (
	"context"
	"slices"

	"github.com/batch-go/batch/bench/performance/peer"
)

// An opener connects a peer and makes its queues.
type opener = func(context.Context, peer.Place) (peer.Peer, error)

// A Row is a library on a broker.
type Row struct {
	Broker string // of peer.Brokers
	Name   string
	Module string // the one whose version is that of the row
	Open   opener // nil where there is nothing to measure, and Note says why
	Note   string // how it is set up, and in what it differs
	// Lacks has the workloads that it cannot do, and why.
	Lacks map[string]string
}

// Ours is the name of the rows of batch.
const Ours = "batch"

// modules of rows that are nobody's peer.
const (
	batchGo = "github.com/batch-go/batch"
	goRed   = "github.com/redis/go-redis/v9"
	amqpGo  = "github.com/rabbitmq/amqp091-go"
	natsGo  = "github.com/nats-io/nats.go"
	pgxGo   = "github.com/jackc/pgx/v5"
	riverGo = "github.com/riverqueue/river"
	awsGo   = "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// notServed is why some peers have no figures.
const notServed = "Not measured: the module proxy that this page was made with does not serve it."

// Rows returns the rows of a broker.
func Rows(broker string) []Row {
	var rows []Row
	for _, r := range slices.Concat(redisRows(), rabbitRows(), natsRows(), sqsRows(), postgresRows(), fileRows(peer.Files), fileRows(peer.Synced)) {
		if r.Broker == broker {
			rows = append(rows, r)
		}
	}
	return rows
}

// Find returns the row of that name.
func Find(broker, name string) (Row, bool) {
	rows := Rows(broker)
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Name == name })
	if i < 0 {
		return Row{}, false
	}
	return rows[i], true
}

// noRetry is what a raw client without redelivery lacks.
func noRetry() map[string]string {
	return map[string]string{"failing": "it has no retries"}
}

// redelivers is said of peers whose failed jobs come again by the broker alone.
const redelivers = " A failed job comes again at once, with no delay, count or end."

// gathering opens a raw client whose callers share requests.
func gathering(open opener) opener {
	return func(ctx context.Context, at peer.Place) (peer.Peer, error) {
		p, err := open(ctx, at)
		if err != nil {
			return nil, err
		}
		return peer.Gather(p), nil
	}
}

// gatheredLacks are the workloads in which a raw client that gathers is the raw client.
func gatheredLacks() map[string]string {
	lacks := noRetry()
	for _, w := range []string{"enqueue-many", "process", "process-1ms", "process-4k", "process-64k", "queues-1", "queues-50", "queues-500", "queues-2000", "backlog"} {
		lacks[w] = "as the raw client"
	}
	return lacks
}

// redisRows are those of Redis.
func redisRows() []Row {
	return []Row{
		{peer.Redis, Ours, batchGo, batchRedis, "Defaults.", nil},
		{peer.Redis, "raw", goRed, openRawRedis, "go-redis: XADD, pipelined for many; XREADGROUP 500, then XACK and XDEL of all of them.", noRetry()},
		{peer.Redis, "raw, gathered", goRed, gathering(openRawRedis), "The same, and what concurrent callers enqueue is pipelined: the bound for callers that wait.", gatheredLacks()},
		{peer.Redis, "asynq", "github.com/hibiken/asynq", asynqWith(false), "Defaults: an idle worker looks for jobs every second, and for retries and delays every five.", nil},
		{peer.Redis, "asynq, fastest", "github.com/hibiken/asynq", asynqWith(true), "Looks for jobs, retries and delays every 10 ms.", nil},
		{peer.Redis, "watermill", "github.com/ThreeDotsLabs/watermill-redisstream", watermillRedis, "A subscription hands out one message at a time: one a worker. Acknowledged messages stay in the stream. A failed job is tried again in the process, with no count or end.", nil},
		{peer.Redis, "taskq v3", "github.com/vmihailenco/taskq/v3", nil, notServed, nil},
		{peer.Redis, "taskq v4", "github.com/vmihailenco/taskq/v4", nil, notServed, nil},
		{peer.Redis, "gocraft/work", "github.com/gocraft/work", nil, notServed, nil},
		{peer.Redis, "machinery", "github.com/RichardKnop/machinery/v2", nil, notServed + " It takes a job off the list before its handler runs, so a crash loses it.", nil},
	}
}

// rabbitRows are those of RabbitMQ.
func rabbitRows() []Row {
	return []Row{
		{peer.RabbitMQ, Ours, batchGo, batchRabbitMQ, "Defaults.", nil},
		{peer.RabbitMQ, "raw", amqpGo, openRawRabbit, "amqp091-go: all callers on one channel with confirms and mandatory; another connection for workers, a prefetch of 256, an ack for each." + redelivers, nil},
		{peer.RabbitMQ, "watermill", "github.com/ThreeDotsLabs/watermill-amqp/v3", watermillAMQP, "Confirms on, which are off by default, and a pool of 64 channels. A subscription hands out one message at a time: one a worker, with a prefetch of 16. A marshaler of our own, since its own refuses what a quorum queue of RabbitMQ 4.3 redelivers. Not mandatory: what has no queue is dropped." + redelivers, nil},
		{peer.RabbitMQ, "go-cloud", "gocloud.dev/pubsub/rabbitpubsub", gocloudRabbit, "Persistent, which it is not by default. It needs an exchange for each queue. A connection for topics and one for subscriptions." + redelivers, nil},
		{peer.RabbitMQ, "wagslane/go-rabbitmq", "github.com/wagslane/go-rabbitmq", nil, notServed, nil},
		{peer.RabbitMQ, "machinery", "github.com/RichardKnop/machinery/v2", nil, notServed, nil},
	}
}

// natsRows are those of NATS.
func natsRows() []Row {
	return []Row{
		{peer.NATS, Ours, batchGo, batchNATS, "Defaults.", nil},
		{peer.NATS, "raw", natsGo, openRawNATS, "nats.go: PublishAsync; a pull consumer with 500 messages, an ack for each that is not waited for." + redelivers, nil},
		{peer.NATS, "watermill", "github.com/ThreeDotsLabs/watermill-nats/v2", watermillNATS, "JetStream; a subscriber a worker in one queue group; acks that are not waited for." + redelivers, nil},
		{peer.NATS, "go-cloud", "gocloud.dev/pubsub/natspubsub", nil, "Not as safe: it publishes to core NATS, which keeps nothing when no subscriber is there.", nil},
	}
}

// sqsRows are those of SQS.
func sqsRows() []Row {
	return []Row{
		{peer.SQS, Ours, batchGo, batchSQS, "Polls of 1 s; else defaults.", nil},
		{peer.SQS, "raw", awsGo, openRawSQS, "aws-sdk-go-v2: SendMessage, requests of ten for many; four loops receive ten and delete them." + redelivers, nil},
		{peer.SQS, "raw, gathered", awsGo, gathering(openRawSQS), "The same, and what concurrent callers enqueue shares requests.", gatheredLacks()},
		{peer.SQS, "go-cloud", "gocloud.dev", gocloudSQS, "Polls of 1 s, by default it asks again and again; else defaults." + redelivers, nil},
		{peer.SQS, "watermill", "github.com/ThreeDotsLabs/watermill-aws", nil, notServed, nil},
		{peer.SQS, "machinery", "github.com/RichardKnop/machinery/v2", nil, notServed, nil},
	}
}

// postgresRows are those of PostgreSQL alone.
func postgresRows() []Row {
	return []Row{
		{peer.Postgres, Ours, batchGo, batchPostgres, "Defaults: ten connections.", nil},
		{peer.Postgres, "raw", pgxGo, openRawPostgres, "pgx with 64 connections: an INSERT a job, COPY for many; DELETE RETURNING of up to 500 rows and their handlers in one transaction. It polls every 5 ms, every 100 ms of many queues.", noRetry()},
		{peer.Postgres, "raw, gathered", pgxGo, gathering(openRawPostgres), "The same, and what concurrent callers enqueue shares a COPY.", gatheredLacks()},
		{peer.Postgres, "river", riverGo, riverTx(0), "64 connections, and InsertManyFast, which is COPY, for many. With one queue it fetches every millisecond, by default every 100 ms, and an inserting client notifies as often.", nil},
		{peer.Postgres, "river, 2000 workers", riverGo, riverTx(2000), "The same, and a worker of one queue has 2000 handlers and not 64, as its own benchmark: it fetches and completes as many at a time.", riverLacks()},
	}
}

// riverLacks are the workloads in which river has no more workers than others.
func riverLacks() map[string]string {
	lacks := map[string]string{}
	for _, w := range []string{
		"enqueue-1", "enqueue-64", "enqueue-many", "enqueue-64-4k", "enqueue-64-64k", "tx-1", "tx-64", "delays", "pickup", "queues-1", "queues-50", "queues-500", "queues-2000",
	} {
		lacks[w] = "as river"
	}
	return lacks
}

// fileRows are those of libraries that need no broker, or a database: with what is confirmed on the disk, or
// with what survives the process.
func fileRows(broker string) []Row {
	safe, sqlite, commit := "Defaults: synced every second.", "synchronous=NORMAL.", "synchronous_commit=off."
	if broker == peer.Synced {
		safe, sqlite, commit = "SyncAlways.", "synchronous=FULL.", "synchronous_commit=on, its default."
	}
	return []Row{
		{broker, Ours, batchGo, batchEmbedded, "JetStream in the process. " + safe, nil},
		{broker, "batch, PostgreSQL", batchGo, batchPostgres, "Defaults: ten connections, synchronous_commit=on always.", nil},
		{broker, "river, PostgreSQL", riverGo, riverPostgres, "With one queue it fetches every millisecond, by default every 100 ms, and an inserting client notifies as often. " + commit, nil},
		{broker, "river, SQLite", riverGo, riverSQLite, "With one queue it fetches every millisecond and polls every 5 ms, by default every 100 ms and every second. " + sqlite, nil},
		{broker, "backlite", "github.com/mikestefanello/backlite", openBacklite, sqlite, nil},
		{broker, "goqite", "maragu.dev/goqite", openGoqite, "With one queue it polls every millisecond, by default every 100 ms. " + sqlite, map[string]string{"failing": "a failed job waits for its timeout of seconds"}},
	}
}
