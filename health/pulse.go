package health

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/batch-go/batch"
)

// pulse is what is known of whether the broker answers.
type pulse struct {
	mu sync.Mutex // guards following
	// answered is when the broker last answered, zero before it first did. silence is the error of the last call since
	// then that it did not answer, nil if there is none.
	answered time.Time
	silence  error
	// asking is closed when the last question has ended, which it has at ended, zero while it is under way. It is nil
	// before the first.
	asking chan struct{}
	ended  time.Time
}

// pauseBetween is a part of Patience: for so long no question follows the one before. A broker that refuses connections
// answers at once, and is asked no more often than one that does not answer, whatever the number of probes.
const pauseBetween = 10

// note notes what a call tells.
func (p *pulse) note(call batch.Call, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case isAnswer(call):
		p.answered, p.silence = now, nil
	case errors.Is(call.Err, batch.ErrUnavailable), errors.Is(call.Err, context.DeadlineExceeded):
		p.silence = call.Err
	}
}

// isAnswer tells whether the broker must have answered for a call to end like this. A refusal is an answer. That a receive
// found no job is none, as it ends like that too if the broker is silent, and what ends a consumer may do so without a word
// to the broker.
func isAnswer(call batch.Call) bool {
	switch call.Op {
	case batch.OpAbandon, batch.OpStop, batch.OpClose:
		return false
	case batch.OpReceive:
		return call.Err == nil && call.Jobs > 0
	}
	for _, none := range []error{batch.ErrUnavailable, batch.ErrClosed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(call.Err, none) {
			return false
		}
	}
	return true
}

// last returns when the broker last answered, and the error of the last call since then that it did not.
func (p *pulse) last() (answered time.Time, silence error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered, p.silence
}

// isQuiet tells whether the broker has not answered for longer than d.
func (p *pulse) isQuiet(d time.Duration) bool {
	answered, _ := p.last()
	return answered.IsZero() || time.Since(answered) > d
}

// feel calls question, which asks the broker and tells note of the answer, unless that is under way already, or has just
// ended. It does not wait. The channel is closed when question has returned; its context ends after patience.
func (p *pulse) feel(patience time.Duration, question func(context.Context)) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asking != nil && (p.ended.IsZero() || time.Since(p.ended) < patience/pauseBetween) {
		return p.asking
	}
	done := make(chan struct{})
	p.asking, p.ended = done, time.Time{}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		question(ctx)
		p.mu.Lock()
		p.ended = time.Now()
		p.mu.Unlock()
		close(done)
	}()
	return done
}
