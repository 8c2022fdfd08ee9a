package batchtest_test

import (
	"testing"

	"github.com/batch-go/batch/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
