package embedded

import (
	"context"

	"github.com/batch-go/batch/driver"
)

var _ driver.Examiner = (*Driver)(nil)

// Examine looks at what [nats.Driver.Examine] does, and at how often the files are synced.
func (d *Driver) Examine(ctx context.Context) ([]driver.Finding, error) {
	all, err := d.Driver.Examine(ctx)
	return append(all, d.server.options.durability()), err
}

// durability is what of the confirmed jobs is on the disk.
func (o *Options) durability() driver.Finding {
	if o.SyncAlways {
		return driver.Finding{Subject: "sync", Detail: "each job is synced to the disk before it is accepted"}
	}
	return driver.Finding{Subject: "sync", Grade: driver.GradeWarn,
		Detail: "files are synced every " + o.SyncInterval.String() + ": a machine that dies takes the jobs since with it",
		Remedy: "add sync=always to the URL, if no job may be lost with the machine"}
}
