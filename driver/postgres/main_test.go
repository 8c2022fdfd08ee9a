package postgres_test

import (
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) {
	brokers.AtOnce(4)
	brokers.Main(m)
}
