package nats_test

import (
	"testing"

	"github.com/batch-go/batch/driver"
)

// TestClosedWhileIdle: a connection that the other side has closed is noticed before it
// is used, so that nothing is in doubt of what was not sent.
func TestClosedWhileIdle(t *testing.T) {
	url := sharedURL(t)
	r := startRelay(t, url)
	d := openURL(t, r.url())
	q := declare(t, d)
	<-r.accepted
	const rounds = 20
	for range rounds {
		r.reset()
		<-r.accepted // it is being made anew
		for {
			results := d.Enqueue(testContext(t), q, []*driver.Message{message("job")})
			if results == nil {
				break
			}
			if driver.FateOf(results[0].Err) != driver.FateNotStored {
				t.Fatalf("an enqueue after the connection was closed: %v", results[0].Err)
			}
		}
	}
	waitDepth(t, d, q, driver.Depth{Waiting: rounds})
}
