//go:build refused

package refused

import (
	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Queue is on a driver that has what every broker has, and no more.
var Queue = batch.NewQueue(memory.NewPortable(), "emails")

// Urgent asks that driver for a priority.
var Urgent = batch.Priority(Queue, batch.High)
