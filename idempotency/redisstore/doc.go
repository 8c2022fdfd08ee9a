// Package redisstore keeps the keys of package idempotency in Redis 7.0 or newer, or Valkey
// 8: on a server, in a cluster or behind Sentinel.
//
//	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
//	store, err := redisstore.New(ctx, client)
//	...
//	w := batch.NewWorker(d, batch.WorkerConfig{
//		Queues:     []batch.WorkerQueue{{Name: "payments"}},
//		Middleware: []batch.Middleware{idempotency.Middleware(store)},
//	})
//
// Effect and mark are not one write, as the effect is elsewhere: a process that dies between
// them leaves an effect without a mark. If that matters, and the effect is in a database, see
// packages sqlstore and pgxstore.
//
// # What is kept
//
// A hash for each key, which the server removes when it expires, by its own clock. Nothing
// is to be cleaned. A key of a job has any bytes; of one longer than 255 bytes the first 224
// and the SHA-256 of all are in the name of the hash.
//
// Tokens come from 128 counters, which have no expiry: a key's counter follows from the key,
// and both have one hash tag, so that a cluster has them in one place and a script changes
// both at once. A token is the server's time in microseconds, or one more than the last if that
// is greater. So tokens grow after keys were deleted, when the clock is set back, and also when
// the counters are lost, by FLUSHALL or a failover, unless the clock of that server is behind.
//
// # What is promised
//
// A claim or mark is as safe as the server's writes. A server that crashes loses what its
// append-only file does not have yet: up to a second with appendfsync everysec. A replica that
// takes over may lack the last writes of the primary. A claim that is lost like this can be taken by
// another, and a mark that is lost lets a duplicate run.
//
// A server that evicts keys forgets which are done. So [New] refuses one with a maxmemory
// and another maxmemory-policy than noeviction, unless [AllowEviction] says that this is
// acceptable. It looks when the store is made, and not later: do not change the policy. A server
// that is full refuses new keys with [idempotency.ErrFull], and still takes marks.
//
// The client repeats a call whose answer was lost. A Begin that is repeated gets the claim that it
// has by then, since each call has a name of its own.
package redisstore
