package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/internal/table"
)

// shards is how many counters of tokens there are: enough to spread the keys over a
// cluster, and few enough to leave lying for ever.
const shards = 128

// Store is an [idempotency.Store] in Redis. Make it with [New]. Its methods may be called
// concurrently, and any number of stores, of one process or many, may share the keys. A
// call returns when its context ends, also if the client goes on to wait for the server
// until its own timeout.
type Store struct {
	client redis.UniversalClient
	prefix string
	evicts bool // is allowed
}

// Option configures a [Store].
type Option struct {
	apply func(*Store) error
}

// Prefix begins the names of all that the store keeps: 1 to 64 letters, digits, colons,
// dots, hyphens and underscores. Stores with one prefix share their keys. Defaults to
// batch:idempotency:.
func Prefix(prefix string) Option {
	return Option{func(s *Store) error {
		const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.-_"
		if prefix == "" || len(prefix) > 64 || strings.Trim(prefix, allowed) != "" {
			return fmt.Errorf("the prefix %q is not one of 1 to 64 letters, digits, colons, dots, hyphens and underscores", prefix)
		}
		s.prefix = prefix
		return nil
	}}
}

// AllowEviction takes a server that may evict keys when its memory is full. A mark that is
// evicted lets a duplicate of its job run.
func AllowEviction() Option {
	return Option{func(s *Store) error {
		s.evicts = true
		return nil
	}}
}

// New makes a store, and asks the server, or each primary of a cluster, for its version and
// its eviction policy. A server that cannot keep the promises is an error that says what to
// do, and so is a *redis.Ring, whose keys move to other servers when one is gone. The client
// stays the caller's, who closes it after the last use of the store.
func New(ctx context.Context, client redis.UniversalClient, options ...Option) (*Store, error) {
	if client == nil {
		return nil, errors.New("idempotency/redisstore: the client is nil")
	}
	if _, ok := client.(*redis.Ring); ok {
		return nil, errors.New("idempotency/redisstore: the client is a Ring, which forgets keys when a server is gone: use a cluster")
	}
	s := &Store{client: client, prefix: "batch:idempotency:"}
	for _, o := range options {
		if o.apply == nil {
			return nil, errors.New("idempotency/redisstore: the zero Option: must be made by one of the option functions")
		}
		if err := o.apply(s); err != nil {
			return nil, fmt.Errorf("idempotency/redisstore: %w", err)
		}
	}
	if err := check(ctx, client, s.evicts); err != nil {
		return nil, fmt.Errorf("idempotency/redisstore: %w", err)
	}
	return s, nil
}

// Begin claims a key.
func (s *Store) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	answer, err := s.call(ctx, "begin", beginScript, key, ttl, func(lasts int64) []any { return []any{lasts, rand.Text()} })
	if err != nil {
		return idempotency.Claim{}, 0, err
	}
	switch answer {
	case "p":
		return idempotency.Claim{}, idempotency.InProgress, nil
	case "d":
		return idempotency.Claim{}, idempotency.Done, nil
	}
	token, err := strconv.ParseUint(answer, 10, 64)
	if err != nil {
		return idempotency.Claim{}, 0, fmt.Errorf("idempotency/redisstore: begin: the server's answer is %q", answer)
	}
	return idempotency.Claim{Key: key, Token: token}, idempotency.Fresh, nil
}

// Extend renews a claim.
func (s *Store) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	return s.change(ctx, "extend", extendScript, claim, ttl)
}

// Complete makes a claimed key done.
func (s *Store) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	return s.change(ctx, "complete", completeScript, claim, retention)
}

// Abandon gives up a claim.
func (s *Store) Abandon(ctx context.Context, claim idempotency.Claim) error {
	err := s.change(ctx, "abandon", abandonScript, claim, time.Millisecond) // which it does not use
	if errors.Is(err, idempotency.ErrLost) {
		return nil
	}
	return err
}

// change runs a script that changes what a claim holds, if it does.
func (s *Store) change(ctx context.Context, op string, script *redis.Script, claim idempotency.Claim, d time.Duration) error {
	answer, err := s.call(ctx, op, script, claim.Key, d, func(lasts int64) []any {
		return []any{strconv.FormatUint(claim.Token, 10), lasts}
	})
	if err == nil && answer != "1" {
		return idempotency.ErrLost
	}
	return err
}

// call runs a script on a key, with a duration in milliseconds among its arguments. It does
// so on a goroutine, as the client looks at its context only between its steps.
func (s *Store) call(ctx context.Context, op string, script *redis.Script, key string, d time.Duration, args func(lasts int64) []any) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	stored, err := table.Key(key)
	if err != nil {
		return "", fmt.Errorf("idempotency/redisstore: %s: %w", op, err)
	}
	micros, err := table.Micros(d)
	if err != nil {
		return "", fmt.Errorf("idempotency/redisstore: %s: %w", op, err)
	}
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := script.Run(ctx, s.client, s.names(stored), args((micros+999)/1000)...).Text()
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		return a.text, fail(ctx, op, a.err)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// fail says what an error means.
func fail(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("idempotency/redisstore: %s: %w: %w", op, ctx.Err(), err)
	case strings.HasPrefix(err.Error(), "OOM "):
		return fmt.Errorf("idempotency/redisstore: %s: %w: %w", op, idempotency.ErrFull, err)
	}
	return fmt.Errorf("idempotency/redisstore: %s: %w", op, err)
}

// names are those of a key and of its counter, which have the same hash tag.
func (s *Store) names(key []byte) []string {
	h := fnv.New32a()
	_, _ = h.Write(key) // never fails
	shard := s.prefix + "{" + strconv.FormatUint(uint64(h.Sum32()%shards), 10) + "}"
	return []string{shard + ":" + string(key), shard}
}
