package embedded

import (
	"context"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/lifecycle"
)

// Driver is a handle on a server in the process, with the capabilities of
// [nats.Driver].
type Driver struct {
	*nats.Driver
	nc      *natsgo.Conn
	server  *instance
	closing lifecycle.Closing
}

var (
	_ driver.Driver         = (*Driver)(nil)
	_ driver.Delayer        = (*Driver)(nil)
	_ driver.Deduplicator   = (*Driver)(nil)
	_ driver.AtomicEnqueuer = (*Driver)(nil)
	_ driver.Inspector      = (*Driver)(nil)
	_ driver.Pauser         = (*Driver)(nil)
	_ driver.Importer       = (*Driver)(nil)
	_ driver.QueueLister    = (*Driver)(nil)
	_ driver.Purger         = (*Driver)(nil)
)

// Info describes the driver and the server.
func (d *Driver) Info() driver.Info {
	info := d.Driver.Info()
	info.Driver, info.Broker = Name, "NATS in the process"
	return info
}

// Close ends the handle, and the server with the last handle on it. It waits
// until the server has written everything and released the directory, or ctx ends:
// then that goes on, and who opens the directory next in this process waits for it.
func (d *Driver) Close(ctx context.Context) error {
	if !d.closing.Begin(ctx) {
		return nil
	}
	defer d.closing.Finish()
	err := d.Driver.Close(ctx)
	d.nc.Close()
	if late := d.server.release(ctx); err == nil && late != nil {
		err = refuseClose(late)
	}
	return err
}
