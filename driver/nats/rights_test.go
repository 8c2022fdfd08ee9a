package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
)

// rights are the subjects to which a user must be allowed to publish, as doc.go has
// them, with what a refusal names.
var rights = map[string]string{
	"batch.*.>":                     "batch.",
	"$JS.API.INFO":                  "$JS.API.INFO",
	"$JS.API.STREAM.CREATE.*":       "$JS.API.STREAM.CREATE.",
	"$JS.API.STREAM.INFO.*":         "$JS.API.STREAM.INFO.",
	"$JS.API.STREAM.DELETE.*":       "$JS.API.STREAM.DELETE.",
	"$JS.API.STREAM.NAMES":          "$JS.API.STREAM.NAMES",
	"$JS.API.STREAM.PURGE.*":        "", // what is left of a dead letter ends by itself
	"$JS.API.STREAM.MSG.GET.*":      "$JS.API.STREAM.MSG.GET.",
	"$JS.API.STREAM.MSG.DELETE.*":   "$JS.API.STREAM.MSG.DELETE.",
	"$JS.API.CONSUMER.CREATE.*.>":   "$JS.API.CONSUMER.CREATE.",
	"$JS.API.CONSUMER.INFO.*.*":     "$JS.API.CONSUMER.INFO.",
	"$JS.API.CONSUMER.PAUSE.*.*":    "$JS.API.CONSUMER.PAUSE.",
	"$JS.API.CONSUMER.MSG.NEXT.*.*": "$JS.API.CONSUMER.MSG.NEXT.",
	"$JS.API.DIRECT.GET.*":          "$JS.API.DIRECT.GET.",
	"$JS.ACK.>":                     "$JS.ACK.",
}

// TestRights: the rights that doc.go lists suffice, and a call that lacks one of them is
// refused at once, with an error that names it.
func TestRights(t *testing.T) {
	var users []string
	user := func(name, subscribe string, lacks string) {
		var allow []string
		for right := range rights {
			if right != lacks {
				allow = append(allow, right)
			}
		}
		users = append(users, fmt.Sprintf(`{ user: %s, password: p, permissions { publish: [ "%s" ], subscribe: "%s" } }`, name, strings.Join(allow, `", "`), subscribe))
	}
	user("all", "_INBOX.>", "")
	user("deaf", "nothing", "")
	lacking := make(map[string]string)
	for right := range rights {
		name := fmt.Sprint("lacks", len(lacking))
		lacking[right] = name
		user(name, "_INBOX.>", right)
	}
	ts := startServer(t, "authorization { users: [", strings.Join(users, "\n"), "] }")
	at := func(name string) string { return strings.Replace(ts.url(), "nats://", "nats://"+name+":p@", 1) }
	d := openURL(t, at("all"))
	exercise(t, d, declare(t, d))
	for right, name := range lacking {
		q := declare(t, d)
		enqueue(t, d, q, message("one"), message("two"))
		errs := useAll(t, right, at(name), q)
		named := false
		for _, err := range errs {
			if !errors.Is(err, driver.ErrUnauthorized) {
				t.Errorf("without %s: %v", right, err)
			}
			named = named || strings.Contains(err.Error(), `"`+rights[right])
		}
		if !named && rights[right] != "" {
			t.Errorf("without %s no error names it: %v", right, errs)
		}
	}
	_, err := nats.Open(testContext(t), at("deaf"))
	refused(t, "a user that may not subscribe", err, driver.ErrUnauthorized, `"_INBOX.`)
}

// useAll makes every call that there is on a queue with two jobs, and returns the errors.
func useAll(t *testing.T, right, url, q string) (errs []error) {
	note := func(err error) {
		if err != nil && !errors.Is(err, driver.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	bounded := func(call func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		note(call(ctx))
	}
	d, err := nats.Open(testContext(t), url)
	if err != nil {
		return []error{err}
	}
	defer closeDriver(t, d)
	bounded(func(ctx context.Context) error { return d.Declare(ctx, q+"-new") })
	if c, err := d.Consume(testContext(t), q, driver.ConsumeOptions{Lease: 30 * time.Second, Prefetch: 10}); err != nil {
		note(err)
	} else {
		bounded(func(ctx context.Context) error {
			got, err := c.Receive(ctx, 2)
			if err != nil {
				return err
			}
			for i, g := range got {
				errs := c.Settle(ctx, []driver.Settlement{{Delivery: g, Outcome: []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry}[i]}})
				note(errors.Join(errs...))
			}
			return nil
		})
	}
	for _, call := range calls(d) {
		bounded(func(ctx context.Context) error { return call(ctx, q) })
	}
	bounded(func(ctx context.Context) error { _, err := d.ListQueues(ctx); return err })
	bounded(func(ctx context.Context) error { return d.DeleteQueue(ctx, q) })
	return errs
}

// TestRefusalIsOfItsJob: what the server refuses for want of a right says nothing of other
// jobs of the same call, or of another that is under way.
func TestRefusalIsOfItsJob(t *testing.T) {
	var allow []string
	for right := range rights {
		allow = append(allow, right)
	}
	ts := startServer(t, fmt.Sprintf(`authorization { users: [ { user: u, password: p, permissions { subscribe: "_INBOX.>",
		publish: { allow: [ "%s" ], deny: "batch.*.later.>" } } } ] }`, strings.Join(allow, `", "`)))
	d := openURL(t, strings.Replace(ts.url(), "nats://", "nats://u:p@", 1))
	q := declare(t, d)
	var calls sync.WaitGroup
	const each = 200
	for call := range 4 {
		var jobs []*driver.Message
		for i := range each {
			m := message(fmt.Sprintf("%d-%d", call, i))
			if i%10 == 0 && call%2 == 0 {
				m.Delay = time.Hour
			}
			jobs = append(jobs, m)
		}
		calls.Go(func() {
			results := d.Enqueue(testContext(t), q, jobs)
			for i, m := range jobs {
				switch {
				case m.Delay > 0:
					refused(t, "a delayed job", results[i].Err, driver.ErrUnauthorized, "later")
					if driver.FateOf(results[i].Err) != driver.FateNotStored {
						t.Errorf("a delayed job: %v", results[i].Err)
					}
				case results != nil && results[i].Err != nil:
					t.Errorf("job %s: %v", m.ID, results[i].Err)
				}
			}
		})
	}
	calls.Wait()
	if depth, err := d.Depth(testContext(t), q); err != nil || depth.Waiting != 4*each-2*each/10 || depth.Scheduled != 0 {
		t.Errorf("%+v, %v", depth, err)
	}
}
