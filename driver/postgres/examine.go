package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// settings are what Examine asks for.
var settings = newStatement(`SELECT current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean`)

// Examine looks at what jobs survive.
func (d *base) Examine(ctx context.Context) ([]driver.Finding, error) {
	var fsync, pages bool
	err := d.whole(ctx, step{settings, nil, func(rows pgx.Rows) error { return rows.Scan(&fsync, &pages) }})
	if err != nil {
		return nil, fail("examine", "", err)
	}
	f := driver.Finding{Subject: "durability", Grade: driver.GradeOK, Detail: "fsync and full_page_writes are on: what is confirmed outlives the end of the machine"}
	if !fsync || !pages {
		f.Grade, f.Detail = driver.GradeFail, "fsync or full_page_writes is off: the end of the machine may lose jobs, or the database"
		f.Remedy = "switch both on in postgresql.conf"
	}
	return []driver.Finding{f}, nil
}
