package postgres

import (
	"context"
	"time"
)

// inTx is what was rung for a queue by transactions of the application. When they commit, and whether they do,
// is not known: so they are apart from what the driver commits by itself.
type inTx struct {
	rang    time.Time // the latest that is to notify
	skipped time.Time // the latest that is not
	echoing bool      // the driver will ring for those
}

// ringsInTx tells whether a transaction is to notify with its commit: the server lets one that does commit at a
// time, so that 64 callers would share no sync. For one that is not to, the driver rings a little later.
func (b *bell) ringsInTx(queue string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.inTx[queue]
	if s == nil {
		s = new(inTx)
		b.inTx[queue] = s
	}
	now := time.Now()
	if now.Before(b.muted) {
		return false
	}
	if now.Sub(s.rang) >= ringGap {
		s.rang = now
		return true
	}
	s.skipped = now
	if !s.echoing && !b.over {
		s.echoing = true
		b.ended.Go(func() { b.echo(queue, s) })
	}
	return false
}

// echo rings for transactions that did not, when none has come for a while, unless a later one has rung.
func (b *bell) echo(queue string, s *inTx) {
	ticker := time.NewTicker(ringGap)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-b.done:
			return
		}
		b.mu.Lock()
		later, quiet := s.rang.After(s.skipped), time.Since(s.skipped) >= ringGap
		s.echoing = !later && !quiet
		b.mu.Unlock()
		switch {
		case later:
			return
		case quiet:
			b.loud(queue)
			return
		}
	}
}

// loud wakes those who wait for jobs of a queue, in all processes. Where it cannot, they look by themselves.
func (d *base) loud(queue string) {
	_ = d.whole(context.Background(), step{ringAll, []any{d.schema, queue}, nil}) // as above
	d.bell.local(queue)
}
