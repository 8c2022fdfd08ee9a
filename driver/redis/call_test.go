package redis

import (
	"bytes"
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// holding is a fake that answers an enqueue of the job "slow" never, of "held" once release
// is closed, and of others at once. It tells arrived of the first two.
func holding(t *testing.T, arrived chan<- string, release <-chan struct{}) *Driver {
	f := serve(t, fit(func(words []string) []byte {
		switch all := strings.Join(words, " "); {
		case strings.Contains(all, "slow test "):
			arrived <- "slow"
			return nil
		case strings.Contains(all, "held test "):
			arrived <- "held"
			<-release
		}
		return []byte(":1\r\n")
	}))
	return openAt(t, f.url(""))
}

// TestInterruptedCall: the end of a ctx ends the call that has it, and no other that waits on
// a connection beside it.
func TestInterruptedCall(t *testing.T) {
	arrived, release := make(chan string), make(chan struct{})
	d := holding(t, arrived, release)
	begin := func(id string) (cancel func(), result <-chan error) {
		ctx, cancel := context.WithCancel(testContext(t))
		done := make(chan error, 1)
		go func() {
			var err error
			for _, r := range d.Enqueue(ctx, "q", []*driver.Message{message(id)}) {
				err = r.Err
			}
			done <- err
		}()
		return cancel, done
	}
	cancelSlow, slow := begin("slow")
	<-arrived
	cancelHeld, held := begin("held")
	defer cancelHeld()
	<-arrived
	cancelSlow()
	if err := <-slow; !errors.Is(err, context.Canceled) || driver.FateOf(err) != driver.FateUnknown {
		t.Errorf("the call whose ctx ended: %v, %s", err, driver.FateOf(err))
	}
	close(release)
	if err := <-held; err != nil {
		t.Errorf("the call beside it: %v", err)
	}
	enqueue(t, d, "q", message("after"))
	if left := len(d.conn.dialer.calls.underWay); left > 0 {
		t.Errorf("%d calls are under way after all have returned", left)
	}
}

// TestCallStays: an enqueue with a ctx that can end waits for the server on its caller's
// goroutine. A hand-over to another and back costs a third of a round trip.
func TestCallStays(t *testing.T) {
	arrived, release := make(chan string), make(chan struct{})
	d := holding(t, arrived, release)
	done := make(chan struct{})
	go func() {
		defer close(done)
		enqueue(t, d, "q", message("held"))
	}()
	<-arrived
	waits := func() bool {
		buf := make([]byte, 1<<20)
		for one := range bytes.SplitSeq(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
			if bytes.Contains(one, []byte("redis.enqueue(")) && bytes.Contains(one, []byte("(*liveConn).Read(")) {
				return true
			}
		}
		return false
	}
	eventually(t, "the caller to wait on the connection", waits)
	close(release)
	<-done
}

// TestInterruptAfterTheAnswer: a call whose ctx ends when its answer is there, and its connection
// was handed on, does not end the waiting of the one that has the connection now.
func TestInterruptAfterTheAnswer(t *testing.T) {
	for _, second := range []string{"a call", "a command without a call"} {
		t.Run(second, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			defer ours.Close()
			all := newCalls(time.Hour)
			conn := &liveConn{Conn: ours, raw: ours, dialer: &dialer{calls: all}, seat: seat{conn: ours}}
			first := all.begin(context.Background(), context.Background())
			defer all.end(first)
			wait := func(c *call) {
				t.Helper()
				at := time.Now().Add(time.Hour)
				if c != nil {
					at, _ = c.Deadline()
				}
				if err := conn.SetReadDeadline(at); err != nil {
					t.Fatal(err)
				}
			}
			wait(first)
			if second == "a call" {
				other := all.begin(context.Background(), context.Background())
				defer all.end(other)
				wait(other)
			} else {
				wait(nil)
			}
			first.interrupt()
			go theirs.Write([]byte("x"))
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Errorf("the one that has the connection: %v", err)
			}
		})
	}
}

// TestCallDeadlines: no two calls under way have the same deadline, and none goes by the time of
// day: that may be set while they wait, and for long after it was set back they are found too.
func TestCallDeadlines(t *testing.T) {
	all := newCalls(time.Minute)
	seen := make(map[int64]bool)
	for range 1000 {
		one := all.begin(context.Background(), context.Background())
		defer all.end(one)
		at, _ := one.Deadline()
		if at == at.Round(0) {
			t.Fatalf("the deadline %s is one of the time of day", at)
		}
		if seen[at.UnixNano()] || all.find(at) != one || time.Until(at) > time.Minute {
			t.Fatalf("the deadline %s is another's, or does not lead to its call", at)
		}
		seen[at.UnixNano()] = true
	}
}

// TestCallThatWaitsForAConnection: the time for the answer begins when there is a connection to
// ask on. A call whose turn came late would end a sound connection, and report that its jobs may
// be stored.
func TestCallThatWaitsForAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 10 * time.Second
		all := newCalls(timeout)
		conn := &liveConn{dialer: &dialer{calls: all}}
		one := all.begin(context.Background(), context.Background())
		defer all.end(one)
		at, _ := one.Deadline()
		time.Sleep(timeout)
		var left time.Duration
		set := func(deadline time.Time) error {
			left = time.Until(deadline)
			return nil
		}
		if err := conn.setDeadline(set, at); err != nil || left != timeout {
			t.Errorf("%s are left for the answer, %v", left, err)
		}
	})
}
