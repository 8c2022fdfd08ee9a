package move

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/batch-go/batch"
)

// run moves waiting jobs until ctx ends, or a job is refused, or a broker fails for too long.
func (h *hand) run(ctx context.Context) (err error) {
	defer func() {
		h.settleAside()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		_ = h.consumer.Stop(closing)  // what it holds comes back by itself
		_ = h.consumer.Close(closing) // the same
	}()
	for ctx.Err() == nil {
		if h.selective() {
			err = h.sweep(ctx)
		} else {
			_, err = h.takeOnce(ctx, ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep goes through the queue once, gives back what is to stay, and rests.
func (h *hand) sweep(ctx context.Context) error {
	start := time.Now()
	h.aside = aside{seed: maphash.MakeSeed(), seen: make(map[uint64]bool), extended: start}
	moved := false
	for ctx.Err() == nil && !h.aside.again {
		receiving, cancel := context.WithTimeout(ctx, sweepWait)
		parcels, err := h.takeOnce(ctx, receiving)
		ended := receiving.Err() != nil
		cancel()
		for _, p := range parcels {
			moved = moved || p.stored
		}
		if err != nil {
			return err
		}
		if len(parcels) == 0 && ended {
			break
		}
		if time.Since(h.aside.extended) > h.most {
			h.extend(h.finishing, h.aside.held)
			h.aside.extended = time.Now()
		}
	}
	behind, err := 0, error(nil)
	if !moved && ctx.Err() == nil {
		behind, err = h.behind(ctx)
	}
	h.settleAside()
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if !moved {
		h.tally.leave(behind)
		h.tally.nothing("waiting", start)
	}
	_ = pause(ctx, max(restTimes*time.Since(start), leastRest)) // run sees why
	return nil
}

// settleAside gives back what is held.
func (h *hand) settleAside() {
	h.giveBack(h.aside.held)
	h.aside.held = nil
}

// behind counts the jobs that are to be moved and wait behind held ones of their groups. Where the source cannot be
// looked into it says only that there may be some.
func (h *hand) behind(ctx context.Context) (n int, err error) {
	groups := make(map[string]bool)
	for _, p := range h.aside.held {
		if p.entry.Group != "" {
			groups[p.entry.Group] = true
		}
	}
	if len(groups) == 0 {
		return 0, nil
	}
	if !h.source.CanInspect() {
		h.fault(fmt.Errorf("move: jobs may be left on queue %s that are to be moved: %w", h.queue, errBehind))
		return 0, nil
	}
	wait := patience{config: &h.config}
	for cursor := ""; ; {
		call, cancel := context.WithTimeout(ctx, h.most)
		page, next, err := h.source.ListJobs(call, batch.StateWaiting, cursor, letterPage)
		cancel()
		if err != nil {
			if err := wait.await(ctx, err); err != nil {
				return 0, err
			}
			continue
		}
		for i := range page {
			if e := &page[i]; groups[e.Group] && h.wants(e.Kind) {
				n++
			}
		}
		if cursor = next; next == "" {
			return n, nil
		}
	}
}
