// Package launch has what a test binary and the launcher of brokers say to each other: the arguments
// and results of the calls, which net/rpc carries as JSON over the launcher's standard input and
// output. It imports the standard library alone, since the tests of every driver link it.
package launch

// Service is the name that the methods of the launcher are called by, as in Launcher.Launch.
const Service = "Launcher"

// A Call is part of the arguments of every call that can be cancelled.
type Call struct {
	Number uint64 // the call's own, for Cancel
}

// SetNumber sets the number of the call.
func (c *Call) SetNumber(n uint64) { c.Number = n }

// Nothing is the argument or the result of a call that has none.
type Nothing struct{}

// A Kind is a server, or several that belong together.
type Kind string

// What can be launched.
const (
	OneRedis      Kind = "redis"
	RedisCluster  Kind = "redis cluster"
	RedisSentinel Kind = "redis sentinel"
	OneRabbitMQ   Kind = "rabbitmq"
	OneNATS       Kind = "nats"
	NATSCluster   Kind = "nats cluster"
	OneSQS        Kind = "sqs"
	OnePostgreSQL Kind = "postgresql"
	PostgreSQLs   Kind = "postgresql with a replica"
	PgBouncer     Kind = "pgbouncer"
	OneMariaDB    Kind = "mariadb"
)

// SentinelMaster is the name by which clients ask the sentinel of RedisSentinel for the master.
const SentinelMaster = "batch"

// SQSRegion is the region that requests to OneSQS are signed for.
const SQSRegion = "us-east-1"

// A Broker is what Launch starts.
type Broker struct {
	Call
	Kind  Kind
	Image Image
	Back  Image // of the PostgreSQL behind PgBouncer

	TLS    bool     // with TLS, for one server of Redis, RabbitMQ, NATS or PostgreSQL
	Args   []string // added to the command line of one server of Redis, NATS or MariaDB
	Config string   // the text of a configuration file, for servers of RabbitMQ, NATS, PostgreSQL or PgBouncer
	Core   bool     // without JetStream
	Disk   bool     // with the queues on disk, for SQS
	Clock  bool     // with a time of day of its own, for one server of Redis, RabbitMQ or PostgreSQL
	HTTP   bool     // with its HTTP API, for one server of RabbitMQ or NATS
}

// An Image says what a server is run from, and how.
type Image struct {
	Row      string   // of images.txt
	Present  []string // images to use when one of them is there, the best first
	Script   string   // what makes the image of a row when none is there
	Override string   // the image to use instead of all that, unless it is empty
	Command  []string // what to run in it; nil for what the image says
	Version  string   // the version of a server that does not tell; empty when it is not known
}

// Launched is the result of Launch.
type Launched struct {
	ID      string // of the broker
	Servers []Server
}

// A Target is the broker or the server that a call is about.
type Target struct {
	Call
	ID string
}

// A Command is what Exec runs in the container of a server.
type Command struct {
	Target
	Args []string
}

// A Given is a server that runs already, for Identify.
type Given struct {
	Call
	Server Server
}
