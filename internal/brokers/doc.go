// Package brokers starts real brokers for tests, in containers, and hands out their addresses.
//
// # Which brokers
//
// The table in images.txt names every broker and version that the tests know. The official image is
// used where it is present or can be pulled; elsewhere scripts/broker-images.sh builds a stand-in
// from Debian's and npm's packages, and a test whose image is missing runs that script by itself.
//
// Two variables a family override the table: BATCH_TEST_REDIS_URL names a broker that runs already,
// and nothing is started; BATCH_TEST_REDIS_IMAGE names another image. The other families are RABBITMQ,
// NATS, SQS, POSTGRES and MARIADB, and PGBOUNCER for an image.
//
// # Shared and own
//
// [Redis], [RabbitMQ], [NATS], [SQS], [PostgreSQL], [MariaDB] and their siblings without "New" start a
// broker once per test binary and share it: tests tell their keys, queues, streams and tables apart by a
// prefix and must not stop, freeze or flush it. The siblings with "New" start one for a single test,
// which may do to it what it likes; it is removed when the test ends.
//
// # Without Docker
//
// A test that needs a broker is skipped with one line that says why. With CI=true in the environment
// it fails instead: a run that exercised no broker must not look like one that did. For the same
// reason every run prints which brokers and versions it exercised, to standard output and to the file
// that BATCH_TEST_REPORT names.
//
// # The launcher
//
// This package imports the standard library alone: the users of a driver resolve what its tests import.
// What starts brokers, with the client of a container engine, is the command launcher, a module of its
// own below this folder. The first test that wants a broker starts it from its sources, with go run, and
// package launch has what the two say to each other.
//
// # What is left behind
//
// Nothing, in two steps, the second for the failures of the first. The launcher removes its containers
// when its standard input ends: because [Main] closes it when the tests are done, or because the test
// binary is dead of a panic, a timeout or a kill. The next launcher sweeps what one left that was killed
// itself, by labels that name the owner, and never touches a container whose owner lives. Scripts can
// call that sweep alone with go run . -sweep, in the launcher's folder. The reaper of testcontainers is
// switched off, because its image cannot be pulled everywhere.
//
// The engine must run on this machine: ports are published on the loopback interface alone.
package brokers
