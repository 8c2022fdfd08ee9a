package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/url"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// Broker is what a program relies on: its capability set.
type Broker interface {
	batch.Prioritizer
	batch.Delayer
}

// plain is a driver that has what every driver has, and no capability.
type plain struct{ *memory.Portable }

// Info names the driver.
func (p plain) Info() driver.Info {
	info := p.Portable.Info()
	info.Driver, info.Broker, info.Version = "plain", "Plain", "1.0"
	return info
}

func init() {
	driver.Register(driver.Registration{
		Name: "plain", Schemes: []string{"plain"}, Types: []driver.Driver{plain{}},
		Open: func(context.Context, *url.URL) (driver.Driver, error) { return plain{memory.NewPortable()}, nil },
	})
}

// A broker that is picked by URL is checked against what the program relies on
// when the program starts.
func ExampleOpen() {
	ctx := context.Background()
	d, err := batch.Open[Broker](ctx, "memory://") // from the environment, say
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.Info().Driver, batch.Capabilities(d))

	_, err = batch.Open[Broker](ctx, "plain://")
	var lacks *batch.CapabilityError
	if errors.As(err, &lacks) {
		fmt.Println(lacks.Driver, "lacks", lacks.Missing)
	}
	fmt.Println(err)

	_, err = batch.Open[Broker](ctx, "memory://?max_job=7")
	fmt.Println(err)
	// Output:
	// memory [Prioritizer Delayer Deduplicator Grouper AtomicEnqueuer Inspector Pauser Importer QueueLister Purger TxEnqueuer]
	// plain lacks [Prioritizer Delayer]
	// batch: driver plain (Plain 1.0) lacks Prioritizer (supported by: memory), and Delayer (supported by: memory)
	// memory: open: invalid configuration: unknown parameter max_job; known: dedup_window, max_bytes, max_jobs
}
