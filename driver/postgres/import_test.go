package postgres

import (
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestImportedDeaths: a dead letter that was imported is listed, whenever it is said to have died, and each once.
func TestImportedDeaths(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	deaths := map[string]time.Time{
		"unknown": {}, "unknown too": {}, "first year": time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), "before": time.Date(-500, 1, 1, 0, 0, 0, 0, time.UTC),
		"long ago": time.Date(1500, 1, 1, 0, 0, 0, 1000, time.UTC), "now": time.Now(), "late": time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
		"later": time.Date(200_000_000, 1, 1, 0, 0, 0, 0, time.UTC), "never": time.Unix(1<<62, 0), "past": time.Unix(-1<<62, 0), "late too": time.Date(9999, 1, 1, 0, 0, 0, 1000, time.UTC),
	}
	var entries []*driver.Entry
	for id, at := range deaths {
		entries = append(entries, &driver.Entry{Message: *message(id), State: driver.StateDead, Reason: driver.ReasonPermanent, DeadAt: at})
	}
	for i, r := range d.Import(testContext(t), q, entries) {
		if r.Err != nil {
			t.Errorf("import of %s: %v", entries[i].ID, r.Err)
		}
	}
	for _, size := range []int{1, 2, 100} {
		seen, cursor := map[string]int{}, ""
		for range 2 * len(deaths) {
			page, next, err := d.DeadLetters(testContext(t), q, cursor, size)
			if err != nil {
				t.Fatal(err)
			}
			for _, letter := range page {
				seen[letter.ID]++
			}
			if cursor = next; next == "" {
				break
			}
		}
		for id := range deaths {
			if seen[id] != 1 {
				t.Errorf("in pages of %d, %q is listed %d times", size, id, seen[id])
			}
		}
	}
	for _, id := range []string{"now", "unknown"} {
		got, err := d.Find(testContext(t), q, id)
		if want := deaths[id].UTC().Truncate(time.Millisecond); err != nil || !got.DeadAt.Truncate(time.Millisecond).Equal(want) {
			t.Errorf("%s is said to have died at %s, %v, want %s", id, got.DeadAt, err, want)
		}
	}
}
