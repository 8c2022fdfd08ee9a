package databases

import (
	"context"
	"strings"
	"testing"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
)

// The cases of the suite about idempotency hold with each dialect, on the memory driver.
func TestSuite(t *testing.T) {
	for _, d := range databases() {
		if !d.newest {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t, "")
			ran := 0
			for _, c := range conformance.Cases() {
				if !strings.HasPrefix(c.Name, "idempotency-") {
					continue
				}
				ran++
				t.Run(c.Name, func(t *testing.T) {
					t.Parallel()
					b, err := memory.NewBroker(memory.Options{})
					if err != nil {
						t.Fatal(err)
					}
					err = c.Run(t.Context(), conformance.Harness{
						Open:  func(context.Context) (driver.Driver, error) { return b.OpenPortable() },
						Store: func(context.Context) (idempotency.Store, error) { return newStore(t, db, d.dialect, tableOf(t)), nil },
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			if ran < 10 {
				t.Errorf("the suite has %d cases about idempotency", ran)
			}
		})
	}
}
