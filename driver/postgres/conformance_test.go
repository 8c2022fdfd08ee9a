package postgres_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/postgres"
)

func TestConformance(t *testing.T) {
	url := os.Getenv("PGURL")
	conformance.Run(t, conformance.Harness{
		Parallel: 16,
		Open:     func(ctx context.Context) (driver.Driver, error) { return postgres.Open(ctx, url) },
		URL:      url,
		Foreign: func(ctx context.Context, queue string, body []byte) error {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, `WITH j AS (INSERT INTO batch.jobs (seq, queue, state, level, pos, since, id, kind, content_type, body, enqueued_at)
				SELECT nextval('batch.numbers'), id, 'w', 0, currval('batch.numbers'), now(), '', 'k', 't', $2, 0 FROM batch.queues WHERE name = $1 RETURNING queue)
				INSERT INTO batch.tallies (queue, waiting) SELECT queue, 1 FROM j`, queue, body)
			return err
		},
	})
}
