package memory

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
)

// Portable is a handle on a [Broker] that has the methods of driver.Driver only,
// and no capability. It shows what a program that runs on every broker may rely
// on: what needs a capability does not compile with it. Its methods may be
// called concurrently.
type Portable struct{ d *Driver }

var _ driver.Driver = (*Portable)(nil)

var errCapability = errors.New("a priority, delay, dedup key or group needs a capability")

// NewPortable makes a handle without capabilities on a new broker with default
// [Options].
func NewPortable() *Portable { return &Portable{d: New()} }

// OpenPortable is [Broker.Open] for a handle without capabilities.
func (b *Broker) OpenPortable() (*Portable, error) {
	d, err := b.Open()
	if err != nil {
		return nil, err
	}
	return &Portable{d: d}, nil
}

// Broker is the broker that the handle is on.
func (p *Portable) Broker() *Broker { return p.d.b }

// Info describes the driver and its limits.
func (p *Portable) Info() driver.Info { return p.d.Info() }

// Declare is as on [Driver].
func (p *Portable) Declare(ctx context.Context, queue string) error {
	return p.d.Declare(ctx, queue)
}

// DeleteQueue is as on [Driver].
func (p *Portable) DeleteQueue(ctx context.Context, queue string) error {
	return p.d.DeleteQueue(ctx, queue)
}

// Enqueue is as on [Driver], except that it refuses all messages with
// driver.ErrUnsupported if one of them asks for a capability.
func (p *Portable) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	for _, m := range messages {
		if m.Level != driver.Normal || m.Delay != 0 || m.DedupKey != "" || m.Group != "" {
			return eachResult(len(messages), refuse("enqueue", queue, driver.ErrUnsupported, errCapability, ""))
		}
	}
	return p.d.Enqueue(ctx, queue, messages)
}

// Consume is as on [Driver].
func (p *Portable) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	return p.d.Consume(ctx, queue, options)
}

// Depth is as on [Driver].
func (p *Portable) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	return p.d.Depth(ctx, queue)
}

// DeadLetters is as on [Driver].
func (p *Portable) DeadLetters(ctx context.Context, queue string, from string, max int) ([]driver.DeadLetter, string, error) {
	return p.d.DeadLetters(ctx, queue, from, max)
}

// Redrive is as on [Driver].
func (p *Portable) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return p.d.Redrive(ctx, queue, which)
}

// Discard is as on [Driver].
func (p *Portable) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return p.d.Discard(ctx, queue, which)
}

// Close is as on [Driver].
func (p *Portable) Close(ctx context.Context) error { return p.d.Close(ctx) }
