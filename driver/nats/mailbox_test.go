package nats

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// refuseMailboxes is a server that stores the jobs of a queue and refuses all subscriptions that end
// with a star. It returns its URL.
func refuseMailboxes(t *testing.T, queue string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				fmt.Fprintf(c, "INFO {\"version\":\"2.12.3\",\"headers\":true,\"max_payload\":1048576,\"jetstream\":true}\r\n")
				inbox := make(map[string]string) // number to subject
				for r := bufio.NewReader(c); refuseOne(c, r, queue, inbox); {
					continue
				}
			})
		}
	})
	return "nats://" + ln.Addr().String()
}

// refuseOne answers what a client says next. False says that the connection has ended.
func refuseOne(c io.Writer, r *bufio.Reader, queue string, inbox map[string]string) bool {
	line, err := r.ReadString('\n')
	if err != nil {
		return false
	}
	words := strings.Fields(line)
	switch words[0] {
	case "PING":
		fmt.Fprint(c, "PONG\r\n")
	case "SUB":
		if strings.HasSuffix(words[1], "*") {
			fmt.Fprintf(c, "-ERR 'Permissions Violation for Subscription to \"%s\"'\r\n", words[1])
			break
		}
		inbox[words[2]] = strings.TrimSuffix(words[1], ">")
	case "PUB", "HPUB":
		size, _ := strconv.Atoi(words[len(words)-1])
		if _, err := r.Discard(size + len("\r\n")); err != nil {
			return false
		}
		answer := `{"api":{"level":2}}`
		if strings.HasSuffix(words[1], ".job") {
			answer = fmt.Sprintf(`{"stream":"batch-%s","seq":1}`, queue)
		}
		for number, begin := range inbox {
			if strings.HasPrefix(words[2], begin) {
				fmt.Fprintf(c, "MSG %s %s %d\r\n%s\r\n", words[2], number, len(answer), answer)
			}
		}
	}
	return true
}

// TestRefusedMailbox: where a user may subscribe to the answers to all requests, and to nothing else,
// jobs that come alone are stored nevertheless. A mailbox that the server refused would never hear.
func TestRefusedMailbox(t *testing.T) {
	for name, open := range map[string]func(ctx context.Context, t *testing.T, url string) (*Driver, error){
		"own": func(ctx context.Context, _ *testing.T, url string) (*Driver, error) { return Open(ctx, url) },
		"passed in": func(ctx context.Context, t *testing.T, url string) (*Driver, error) {
			nc, err := natsgo.Connect(url, natsgo.ErrorHandler(func(*natsgo.Conn, *natsgo.Subscription, error) {}))
			if err != nil {
				return nil, err
			}
			t.Cleanup(nc.Close)
			return New(ctx, nc, Options{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			d, err := open(ctx, t, refuseMailboxes(t, "q"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(ctx); err != nil {
					t.Error(err)
				}
			}()
			for i := range 4 {
				if r := d.Enqueue(ctx, "q", []*driver.Message{plainMessage(fmt.Sprint(i), 10)}); r != nil {
					t.Fatalf("job %d: %v", i, r[0].Err)
				}
			}
			if got := d.conn.nc().NumSubscriptions(); got != 1 {
				t.Errorf("there are %d subscriptions, want that of the answers to all requests", got)
			}
		})
	}
}
