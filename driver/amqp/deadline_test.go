package amqp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/late"
)

const (
	// shortTime is the deadline of calls that cannot succeed.
	shortTime = 500 * time.Millisecond
	// lateBy is by how much they may be late on a machine that is not.
	lateBy = 100 * time.Millisecond
)

// onTime makes calls that cannot end before their deadlines, all at once, and checks that
// each returns with its own, as far as the machine is not late.
func onTime(t *testing.T, when string, calls map[string]func(ctx context.Context) error) {
	t.Helper()
	var mu sync.Mutex
	after := make(map[string]time.Duration)
	lateness := late.During(func() {
		var all sync.WaitGroup
		for what, call := range calls {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), shortTime)
				defer cancel()
				err := call(ctx)
				deadline, _ := ctx.Deadline()
				mu.Lock()
				defer mu.Unlock()
				after[what] = time.Since(deadline)
				if err == nil && what != "extend" && what != "abandon" && !strings.HasPrefix(what, "close") && !strings.HasPrefix(what, "stop") {
					t.Errorf("%s: %s succeeded", when, what)
				}
			})
		}
		all.Wait()
	})
	for what, by := range after {
		if by > lateBy+late.Steps*lateness {
			t.Errorf("%s: %s returned %s after its deadline, and the machine is late by %s", when, what, by, lateness)
		}
	}
}

// first is the first error of some.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// everyCall is all calls of a driver and of a consumer that holds some deliveries, but
// for those that end them.
func everyCall(d *base, c driver.Consumer, q string, held []*driver.Delivery) map[string]func(ctx context.Context) error {
	large := message("large", func(m *driver.Message) { m.Body = make([]byte, maxBody) })
	results := func(all []driver.Result) error {
		for _, r := range all {
			if r.Err != nil {
				return r.Err
			}
		}
		return nil
	}
	enqueue := func(m *driver.Message) func(context.Context) error {
		return func(ctx context.Context) error { return results(d.Enqueue(ctx, q, []*driver.Message{m})) }
	}
	settle := func(i int, s driver.Settlement) func(context.Context) error {
		s.Delivery = held[i]
		return func(ctx context.Context) error { return first(c.Settle(ctx, []driver.Settlement{s})) }
	}
	which := driver.Selection{All: true}
	return map[string]func(ctx context.Context) error{
		"enqueue": enqueue(message("a")), "enqueue of what fills buffers": enqueue(large), "enqueue with a delay": enqueue(message("b", delay(time.Hour))),
		"import": func(ctx context.Context) error {
			return results(d.Import(ctx, q, []*driver.Entry{{Message: *message("c"), State: driver.StateWaiting}}))
		},
		"declare":      func(ctx context.Context) error { return d.Declare(ctx, q) },
		"delete queue": func(ctx context.Context) error { return d.DeleteQueue(ctx, q) },
		"depth":        func(ctx context.Context) error { _, err := d.Depth(ctx, q); return err },
		"purge":        func(ctx context.Context) error { _, err := d.Purge(ctx, q); return err },
		"dead letters": func(ctx context.Context) error { _, _, err := d.DeadLetters(ctx, q, "", 1); return err },
		"redrive":      func(ctx context.Context) error { _, err := d.Redrive(ctx, q, which); return err },
		"discard":      func(ctx context.Context) error { _, err := d.Discard(ctx, q, which); return err },
		"consume": func(ctx context.Context) error {
			_, err := d.Consume(ctx, q, driver.ConsumeOptions{Prefetch: 1})
			return err
		},
		"receive":           func(ctx context.Context) error { _, err := c.Receive(ctx, 1); return err },
		"settle as done":    settle(0, driver.Settlement{Outcome: driver.OutcomeDone}),
		"settle as retry":   settle(1, driver.Settlement{Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1}),
		"settle as dead":    settle(2, driver.Settlement{Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent}),
		"settle as release": settle(3, driver.Settlement{Outcome: driver.OutcomeRelease}),
		"extend":            func(ctx context.Context) error { return first(c.Extend(ctx, held[4:])) },
		"abandon":           func(ctx context.Context) error { c.Abandon(ctx, held[4:]); return nil },
	}
}

// Every call returns with its deadline while the broker, or what is before it, does not
// answer, also those that end things.
func TestDeadlinesOfAHungBroker(t *testing.T) {
	for when, address := range map[string]string{hangs: testURL(t), noneLeft: testURL(t), hangsTLS: secureURL(t)} {
		t.Run(when, func(t *testing.T) { deadlinesOfAHungBroker(t, when, address) })
	}
}

// What is the matter with the connections.
const (
	hangs    = "they hang"
	hangsTLS = "they hang, with TLS"
	noneLeft = "there are none, and none to be had"
)

func deadlinesOfAHungBroker(t *testing.T, when, address string) {
	prepare, err := Open(testContext(t), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDriver(t, prepare) })
	p := newProxy(t, address)
	d, err := Open(testContext(t), p.address)
	if err != nil {
		t.Fatal(err)
	}
	q := queue(t, prepare)
	for i := range 5 {
		enqueue(t, prepare, q, message(fmt.Sprint(i)))
	}
	c := consume(t, d, q, 5)
	held := take(t, c, 5)
	second := consume(t, d, q, 5)
	p.freeze()
	if when == noneLeft {
		p.cut()
		for _, way := range []*connector{d.publishing, d.consuming} {
			<-way.last.ended
		}
	}
	onTime(t, when, everyCall(d.base, c, q, held))
	ends := map[string]func(ctx context.Context) error{"stop": c.Stop, "close of a consumer": second.Close}
	onTime(t, when, ends)
	onTime(t, when, map[string]func(ctx context.Context) error{"close": d.Close})
}

// secureURL is a broker that speaks TLS.
func secureURL(t testing.TB) string {
	t.Helper()
	server := brokers.RabbitMQTLS(t, brokers.RabbitMQ4)
	parameters := url.Values{}
	for name, pem := range map[string][]byte{"tls_ca": server.CA, "tls_cert": server.Certificate, "tls_key": server.Key} {
		file := filepath.Join(t.TempDir(), name+".pem")
		if err := os.WriteFile(file, pem, 0o600); err != nil {
			t.Fatal(err)
		}
		parameters.Set(name, file)
	}
	return server.URL() + "?" + parameters.Encode()
}

// Close ends what connects.
func TestCloseEndsDials(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, scheme := range []string{Name, schemeTLS} {
		address := scheme + "://" + silent.Addr().String()
		onTime(t, scheme, map[string]func(ctx context.Context) error{
			"open": func(ctx context.Context) error { _, err := Open(ctx, address); return err },
		})
		c, err := parseRawURL(address)
		if err != nil {
			t.Fatal(err)
		}
		b := newBase(c)
		declared := make(chan error, 1)
		go func() { declared <- b.Declare(context.Background(), "q") }()
		for len(b.consuming.dialing) == 0 {
			continue // until it dials
		}
		onTime(t, scheme, map[string]func(ctx context.Context) error{"close": b.Close})
		if err := <-declared; !errors.Is(err, driver.ErrClosed) {
			t.Errorf("a call that dialled while the driver was closed: %v", err)
		}
	}
}

// A connection that was cut while it was idle, with or without a word, is noticed before
// anything is published on it, so that nothing passes for stored that was never sent.
func TestIdleConnections(t *testing.T) {
	for _, silently := range []bool{false, true} {
		t.Run(fmt.Sprintf("silently=%t", silently), func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, testURL(t))
			d, err := Open(testContext(t), p.address+"?heartbeat=1s")
			if err != nil {
				t.Fatal(err)
			}
			defer closeDriver(t, d)
			q := queue(t, d)
			enqueue(t, d, q, message("a"))
			conn := d.publisher.Load().conn
			if silently {
				p.freeze()
				defer p.thaw()
				for !conn.isQuiet() {
					runtime.Gosched()
					if !conn.alive() {
						t.Fatal("the connection has ended before it was quiet")
					}
				}
			} else {
				for conn.socket.silence() < 50*time.Millisecond {
					runtime.Gosched() // until it is idle
				}
				p.cut()
			}
			ctx, cancel := context.WithTimeout(testContext(t), shortTime)
			defer cancel()
			for _, r := range d.Enqueue(ctx, q, []*driver.Message{message("b")}) {
				if silently && driver.FateOf(r.Err) != driver.FateNotStored || !silently && r.Err != nil {
					t.Errorf("enqueue after the connection was cut: %v (%s)", r.Err, driver.FateOf(r.Err))
				}
			}
			p.thaw()
			enqueue(t, d, q, message("c"))
		})
	}
}
