package memory_test

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// A crash cuts all handles. A job that was delivered and not settled comes back
// on a new handle, and says that a holder vanished with it.
func ExampleBroker_Crash() {
	ctx := context.Background()
	broker, err := memory.NewBroker(memory.Options{MaxJobs: 1000})
	if err != nil {
		panic(err)
	}
	receive := func(d *memory.Driver) *driver.Delivery {
		c, err := d.Consume(ctx, "emails", driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
		if err != nil {
			panic(err)
		}
		got, err := c.Receive(ctx, 1)
		if err != nil {
			panic(err)
		}
		return got[0]
	}

	before, _ := broker.Open()
	_ = before.Declare(ctx, "emails")
	before.Enqueue(ctx, "emails", []*driver.Message{{ID: "1", Kind: "welcome"}})
	fmt.Println("redeliveries:", receive(before).Redeliveries)

	broker.Crash()
	fmt.Println(before.Declare(ctx, "emails"))

	after, _ := broker.Open()
	fmt.Println("redeliveries:", receive(after).Redeliveries)
	// Output:
	// redeliveries: 0
	// memory: declare on queue emails: broker unavailable
	// redeliveries: 1
}
