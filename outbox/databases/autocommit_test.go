package databases

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/outbox"
)

// On a database whose sessions do not commit by themselves nothing would last that a box does: it says so, and what to do, holds
// nothing, and jobs are written there nevertheless.
func TestWithoutAutocommit(t *testing.T) {
	for _, v := range brokers.MariaDBVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			db := withParam(t, v, "autocommit", "1")
			manual := withParam(t, v, "autocommit", "0")
			box := newBox(t, db, outbox.MySQL)
			table, _ := tableOf.Load(box)
			same, err := outbox.New(manual, outbox.MySQL, outbox.Table(table.(string)))
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			made := func(_ any, err error) error { return err }
			for name, call := range map[string]func() error{
				"migrate": func() error { return same.Migrate(ctx) },
				"depth":   func() error { return made(same.Depth(ctx)) },
				"parked":  func() error { return made(same.Parked(ctx, 0, 10)) },
				"retry":   func() error { return made(same.Retry(ctx, 2)) },
				"discard": func() error { return made(same.Discard(ctx, 2)) },
			} {
				if err := call(); !errors.Is(err, batch.ErrConfig) || !strings.Contains(err.Error(), "autocommit=0") {
					t.Errorf("%s: the error is %v", name, err)
				}
			}
			d := broker(t)
			q := batch.NewQueue(d, "notes")
			write(t, manual, same, q, upTo(3))
			r, stop := relay(t, same, d, outbox.RelayConfig{})
			await(t, "the relay's error", func() error {
				if s := r.Stats(); s.Leads || !errors.Is(s.Err, batch.ErrConfig) || !strings.Contains(s.Err.Error(), "autocommit=0") {
					return fmt.Errorf("the relay says %+v", s)
				}
				return nil
			})
			stop()
			relay(t, box, d, outbox.RelayConfig{})
			empty(t, box)
			if got := jobs(t, d, "notes", batch.StateWaiting); len(got) != 3 {
				t.Errorf("the broker has %d jobs, want 3", len(got))
			}
			// Nobody's transaction is open, as one would keep the table from being changed.
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			if _, err := db.ExecContext(ctx, "ALTER TABLE "+table.(string)+" COMMENT 'changed'"); err != nil {
				t.Error(err)
			}
		})
	}
}
