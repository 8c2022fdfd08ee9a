// Command sweep removes the test brokers that killed runs left behind. It leaves alone those of runs
// that are still alive.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/batch-go/batch/internal/brokers"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	swept, err := brokers.Sweep(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sweep:", err)
		os.Exit(1)
	}
	if swept > 0 {
		fmt.Printf("removed %d containers that killed runs had left\n", swept)
	}
}
