package dash

import (
	"testing"

	"github.com/batch-go/batch/internal/leak"
)

// TestMain fails if a handler leaves a goroutine behind.
func TestMain(m *testing.M) { leak.Main(m) }
