package nats

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// cut ends the inboxes at once.
func (p *puller) cut() {
	all := p.all()
	p.lost(errCut)
	for _, in := range all {
		_ = in.sub.Unsubscribe() // it fails if the connection is closed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range p.strays {
		end.Stop()
	}
	clear(p.strays)
}

// drain ends the inboxes when no fetch is under way, and returns what came to them.
// Its error is ctx's if that ended before it was certain that nothing more comes.
func (p *puller) drain(ctx context.Context) (rest []*natsgo.Msg, err error) {
	all := p.all()
	errs := make([]error, len(all))
	var drained sync.WaitGroup
	for i, in := range all {
		drained.Go(func() { errs[i] = in.drain(ctx) })
	}
	drained.Wait()
	p.lost(errCut)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, in := range all {
		rest, in.rest = append(rest, in.rest...), nil
		err = cmp.Or(err, errs[i])
	}
	return rest, err
}

// all are the inboxes that there are, those included whose pulls were taken for lost.
func (p *puller) all() []*inbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.AppendSeq(slices.Clone(p.inboxes), maps.Keys(p.strays))
}

// drainTime is how long a pull at a near server is given to end by itself: the longer,
// the less likely is it that a job arrives in the moment in which the subscription
// ends.
const drainTime = 100 * time.Millisecond

// drain ends the inbox when nothing more comes to it. A server that cannot deliver
// to its own client takes the job back (didNotDeliver in server/consumer.go), so
// there the end of the subscription ends the pull. It may count a delivery then that
// was none, so that under load it is better to wait for the next job, which ends the
// pull. A server that delivers by way of another does not hear of it, so there the
// pull has to end first.
func (in *inbox) drain(ctx context.Context) error {
	p := in.puller
	p.mu.Lock()
	pull, stray := in.pull, time.Until(in.stray)
	p.mu.Unlock()
	defer func() { _ = in.sub.Unsubscribe() }() // it fails if it has ended, or the connection is closed
	if pull == nil && stray <= 0 || p.conn.ready() != nil {
		return nil
	}
	var over chan struct{}
	if pull != nil && stray <= 0 {
		over = pull.done
	}
	if !p.near {
		_, err := await(ctx, over, max(stray, p.expires+lateTime))
		return err
	}
	if ended, err := await(ctx, over, drainTime); ended || err != nil {
		return err
	}
	drained := make(chan struct{})
	in.sub.SetClosedHandler(func(string) { close(drained) })
	if in.sub.Drain() != nil {
		return nil // it has ended
	}
	_, err := await(ctx, drained, p.expires+lateTime)
	return err
}

// await waits until over is closed or a time has passed, and tells which. Its error is
// ctx's if that ends first.
func await(ctx context.Context, over <-chan struct{}, longest time.Duration) (ended bool, err error) {
	end := time.NewTimer(longest)
	defer end.Stop()
	select {
	case <-over:
		return true, nil
	case <-end.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
