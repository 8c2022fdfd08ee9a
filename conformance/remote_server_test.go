package conformance_test

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// remoteErrors are the errors that cross the network.
var remoteErrors = []error{
	driver.ErrClosed, driver.ErrNotFound, driver.ErrLeaseLost, driver.ErrConflict, driver.ErrBroker, context.DeadlineExceeded,
}

// WireError is an error on its way: nothing if Text is empty.
type WireError struct {
	Text string
	Kind int
}

// toWire packs an error.
func toWire(err error) WireError {
	if err == nil {
		return WireError{}
	}
	for i, kind := range remoteErrors {
		if errors.Is(err, kind) {
			return WireError{err.Error(), i}
		}
	}
	return WireError{err.Error(), len(remoteErrors) - 2}
}

// err unpacks it: what the server refuses has no effect.
func (w WireError) err() error {
	if w.Text == "" {
		return nil
	}
	return &driver.Error{Driver: "remote", Op: "call", Kind: remoteErrors[w.Kind], Fate: driver.FateNotStored, Err: errors.New(w.Text)}
}

// RemoteCall is a request. Each uses some of the fields.
type RemoteCall struct {
	Op, Queue, Cursor string
	Max, Consumer     int
	Messages          []*driver.Message
	Which             driver.Selection
	Options           driver.ConsumeOptions
	Receipts          []int
	Settlements       []driver.Settlement
	Entries           []*driver.Entry
}

// RemoteAnswer is what comes of one.
type RemoteAnswer struct {
	Err        WireError
	Errs       []WireError
	Results    []WireError
	Deliveries []*driver.Delivery
	Letters    []driver.DeadLetter
	Depth      driver.Depth
	Next       string
	N          int
	Info       driver.Info
}

// remoteServer serves a memory broker on TCP, to clients that any network may be
// before. What it holds for them outlives their connections, until its lease ends.
type remoteServer struct {
	addr string
	d    *memory.Driver

	mu        sync.Mutex // guards following
	consumers []driver.Consumer
	held      map[int]*driver.Delivery
	last      int
}

// serveRemote starts one.
func serveRemote(t testing.TB) *remoteServer {
	t.Helper()
	d, err := broker(t).Open()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &remoteServer{addr: l.Addr().String(), d: d, held: make(map[int]*driver.Delivery)}
	server := rpc.NewServer()
	if err := server.RegisterName("Broker", s); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	conns := make(map[net.Conn]bool)
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			all.Go(func() { server.ServeConn(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
		d.Close(context.Background())
	})
	return s
}

// poll bounds how long the server waits for jobs.
const poll = 300 * time.Millisecond

// Call carries out a request.
func (s *remoteServer) Call(c *RemoteCall, a *RemoteAnswer) error {
	ctx := context.Background()
	var err error
	switch c.Op {
	case "info":
		a.Info = s.d.Info()
	case "declare":
		err = s.d.Declare(ctx, c.Queue)
	case "delete":
		err = s.d.DeleteQueue(ctx, c.Queue)
	case "enqueue":
		for _, r := range s.d.Enqueue(ctx, c.Queue, c.Messages) {
			a.Results = append(a.Results, toWire(r.Err))
		}
	case "import":
		s.d.Import(ctx, c.Queue, c.Entries)
	case "depth":
		a.Depth, err = s.d.Depth(ctx, c.Queue)
	case "letters":
		a.Letters, a.Next, err = s.d.DeadLetters(ctx, c.Queue, c.Cursor, c.Max)
	case "redrive":
		a.N, err = s.d.Redrive(ctx, c.Queue, c.Which)
	case "discard":
		a.N, err = s.d.Discard(ctx, c.Queue, c.Which)
	case "consume":
		var consumer driver.Consumer
		if consumer, err = s.d.Consume(ctx, c.Queue, c.Options); err == nil {
			s.mu.Lock()
			s.consumers = append(s.consumers, consumer)
			a.N = len(s.consumers) - 1
			s.mu.Unlock()
		}
	default:
		err = s.consumerCall(ctx, c, a)
	}
	a.Err = toWire(err)
	return nil
}

// consumerCall carries out a request about a consumer.
func (s *remoteServer) consumerCall(ctx context.Context, c *RemoteCall, a *RemoteAnswer) error {
	s.mu.Lock()
	consumer := s.consumers[c.Consumer]
	s.mu.Unlock()
	switch c.Op {
	case "receive":
		ctx, cancel := context.WithTimeout(ctx, poll)
		defer cancel()
		got, err := consumer.Receive(ctx, c.Max)
		for _, d := range got {
			a.Deliveries = append(a.Deliveries, s.hold(d))
		}
		return err
	case "settle":
		for i := range c.Settlements {
			c.Settlements[i].Delivery = s.take(c.Receipts)[i]
		}
		for _, err := range consumer.Settle(ctx, c.Settlements) {
			a.Errs = append(a.Errs, toWire(err))
		}
	case "extend":
		for _, err := range consumer.Extend(ctx, s.take(c.Receipts)) {
			a.Errs = append(a.Errs, toWire(err))
		}
	case "abandon":
		consumer.Abandon(ctx, s.take(c.Receipts))
	case "stop":
		return consumer.Stop(ctx)
	case "close":
		return consumer.Close(ctx)
	}
	return nil
}

// hold keeps a delivery and makes one of it that can cross the network.
func (s *remoteServer) hold(d *driver.Delivery) *driver.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.held[s.last] = d
	sent := *d
	sent.Receipt = s.last
	return &sent
}

// take are the deliveries of receipts.
func (s *remoteServer) take(receipts []int) []*driver.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*driver.Delivery, len(receipts))
	for i, r := range receipts {
		all[i] = s.held[r]
	}
	return all
}
