package sqs

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// A call that Close cuts off says so, and not that its caller's context has ended.
func TestCutOffTells(t *testing.T) {
	f := newFake()
	endpoint, frozen := f.serve(t, (*httptest.Server).Start)
	u := "sqs://key:secret@us-east-1/?" + url.Values{"endpoint": {endpoint}, "wait": {"1s"}}.Encode()
	all := driver.Selection{All: true}
	for what, call := range map[string]func(context.Context, *Driver, driver.Consumer, *driver.Delivery) error{
		"Enqueue": func(ctx context.Context, d *Driver, _ driver.Consumer, _ *driver.Delivery) error {
			return d.Enqueue(ctx, "q", []*driver.Message{job("a", 0)})[0].Err
		},
		"Declare": func(ctx context.Context, d *Driver, _ driver.Consumer, _ *driver.Delivery) error {
			return d.Declare(ctx, "other")
		},
		"Redrive": func(ctx context.Context, d *Driver, _ driver.Consumer, _ *driver.Delivery) error {
			_, err := d.Redrive(ctx, "q", all)
			return err
		},
		"Receive": func(ctx context.Context, _ *Driver, c driver.Consumer, _ *driver.Delivery) error {
			_, err := c.Receive(ctx, 1)
			return err
		},
		"Settle": func(ctx context.Context, _ *Driver, c driver.Consumer, held *driver.Delivery) error {
			return c.Settle(ctx, []driver.Settlement{{Delivery: held, Outcome: driver.OutcomeRetry}})[0]
		},
	} {
		t.Run(what, func(t *testing.T) {
			frozen.Store(false)
			d, err := Open(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Declare(t.Context(), "q"); err != nil {
				t.Fatal(err)
			}
			put(t, d, job("held", 0))
			c := consume(t, d, 30*time.Second)
			held := receive(t, c)
			frozen.Store(true)
			ended := make(chan error, 1)
			begun := make(chan struct{})
			go func() {
				close(begun)
				ended <- call(t.Context(), d, c, held)
			}()
			<-begun
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_ = d.Close(ctx)
			if err := <-ended; !errors.Is(err, driver.ErrClosed) || errors.Is(err, context.Canceled) {
				t.Errorf("%s was cut off by Close: %v", what, err)
			} else if what == "Enqueue" && driver.FateOf(err) != driver.FateUnknown {
				t.Errorf("%s was cut off by Close with fate %v: %v", what, driver.FateOf(err), err)
			}
		})
	}
}
