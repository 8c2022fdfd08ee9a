package memory

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// Import stores entries under one lock, as Enqueue does. Each may fail on its own.
// Dead letters are sorted in by their DeadAt.
func (d *Driver) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	messages := make([]*driver.Message, len(entries))
	for i, e := range entries {
		messages[i] = &e.Message
	}
	return d.storeAll(ctx, "import", queue, messages, entries)
}

// ForgetImports forgets keys under one lock.
func (d *Driver) ForgetImports(ctx context.Context, queue string, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	q, now, err := d.begin(ctx, "forget imports", queue)
	if err != nil {
		return err
	}
	defer q.end(now)
	for _, key := range keys {
		q.capacity.free(q.imports.forget(key), 0)
	}
	return nil
}
