// Package refused does not compile: its broker has no unique keys.
package refused

import (
	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/driver/memory"
)

var queue = batch.NewQueue(memory.NewPortable(), "ticks")

var _ = cron.New(queue, cron.Fixed[*memory.Portable]())
