package schedulers

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
)

// Call has what the calls of a store need.
type Call struct {
	Key   string
	Claim idempotency.Claim
	For   time.Duration
}

// Answer is what a store says to Begin.
type Answer struct {
	Claim idempotency.Claim
	State idempotency.State
}

// Server is a store for other processes: it outlives them.
type Server struct{ store idempotency.Store }

// Begin is Store.Begin.
func (s *Server) Begin(c Call, a *Answer) (err error) {
	a.Claim, a.State, err = s.store.Begin(context.Background(), c.Key, c.For)
	return err
}

// Extend is Store.Extend.
func (s *Server) Extend(c Call, _ *bool) error {
	return s.store.Extend(context.Background(), c.Claim, c.For)
}

// Complete is Store.Complete.
func (s *Server) Complete(c Call, _ *bool) error {
	return s.store.Complete(context.Background(), c.Claim, c.For)
}

// Abandon is Store.Abandon.
func (s *Server) Abandon(c Call, _ *bool) error {
	return s.store.Abandon(context.Background(), c.Claim)
}

// serve serves a store until the test ends, and returns its address.
func serve(t *testing.T, store idempotency.Store) string {
	t.Helper()
	server := rpc.NewServer()
	if err := server.RegisterName("Store", &Server{store}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// remote is a store of another process.
type remote struct{ *rpc.Client }

// dialStore connects to a store.
func dialStore(address string) (idempotency.Store, error) {
	c, err := rpc.Dial("tcp", address)
	return remote{c}, err
}

// ask makes a call.
func (r remote) ask(ctx context.Context, method string, c Call, reply any) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	asked := r.Go("Store."+method, c, reply, make(chan *rpc.Call, 1))
	select {
	case <-asked.Done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if asked.Error != nil && asked.Error.Error() == idempotency.ErrLost.Error() {
		return idempotency.ErrLost
	}
	return asked.Error
}

// Begin implements idempotency.Store.
func (r remote) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	a := new(Answer)
	if err := r.ask(ctx, "Begin", Call{Key: key, For: ttl}, a); err != nil {
		return idempotency.Claim{}, 0, err // a late answer may still be written
	}
	return a.Claim, a.State, nil
}

// Extend implements idempotency.Store.
func (r remote) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	return r.ask(ctx, "Extend", Call{Claim: claim, For: ttl}, new(bool))
}

// Complete implements idempotency.Store.
func (r remote) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	return r.ask(ctx, "Complete", Call{Claim: claim, For: retention}, new(bool))
}

// Abandon implements idempotency.Store.
func (r remote) Abandon(ctx context.Context, claim idempotency.Claim) error {
	return r.ask(ctx, "Abandon", Call{Claim: claim}, new(bool))
}

// TestRemoteStore sees that the tests' own store is one.
func TestRemoteStore(t *testing.T) {
	r, err := dialStore(serve(t, idempotency.NewMemory(0)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.(remote).Close()
	ctx := t.Context()
	claim, state, err := r.Begin(ctx, "a", time.Minute)
	if err != nil || state != idempotency.Fresh {
		t.Fatalf("the key is %s, %v", state, err)
	}
	if err := r.Abandon(ctx, claim); err != nil {
		t.Error(err)
	}
	if err := r.Complete(ctx, claim, time.Minute); !errors.Is(err, idempotency.ErrLost) {
		t.Errorf("completing what was abandoned: %v", err)
	}
}
