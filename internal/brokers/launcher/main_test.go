package main

import (
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

// TestMain is that of every package whose tests use brokers: most tests here start them as others do, in
// a launcher that is a process of its own, and talk to them with their clients.
func TestMain(m *testing.M) { brokers.Main(m) }
