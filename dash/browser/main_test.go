package browser_test

import (
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/leak"
)

// bound is how long a test waits for what should come soon.
const bound = 2 * time.Minute

func TestMain(m *testing.M) {
	brokers.AtOnce(4) // they mostly wait for a browser, which waits for renewals
	brokers.Main(closing{m})
}

// closing are tests after which the browser is closed.
type closing struct{ leak.Tests }

// Run runs them.
func (c closing) Run() int {
	defer closeBrowser()
	return c.Tests.Run()
}
