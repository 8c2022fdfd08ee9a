package batch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestBounded: a context without a timer is what one with a timer is, whatever is called on it first.
func TestBounded(t *testing.T) {
	late := errors.New("late")
	for name, look := range map[string]func(*bounded){
		"nobody waits":    func(*bounded) {},
		"somebody waits":  func(b *bounded) { b.Done() },
		"a child waits":   func(b *bounded) { context.AfterFunc(b, func() {}) },
		"a value is read": func(b *bounded) { b.Value("key") },
	} {
		t.Run(name, func(t *testing.T) {
			make := func(parent context.Context) *bounded {
				b := &bounded{Context: parent, at: time.Now().Add(time.Minute), cause: late}
				if end, ok := b.Deadline(); !ok || !end.Equal(b.at) || b.Err() != nil {
					t.Fatalf("deadline %v, error %v", end, b.Err())
				}
				look(b)
				return b
			}
			ended := func(b *bounded, want, cause error) {
				t.Helper()
				if err := b.Err(); err != want || context.Cause(b) != cause {
					t.Errorf("ended with %v for %v, want %v for %v", err, context.Cause(b), want, cause)
				}
				select {
				case <-b.Done():
				default:
					t.Error("it has ended, and does not say so")
				}
				if err := context.Cause(b); err != cause || b.Err() != want {
					t.Errorf("the cause is %v, want %v; ended with %v", err, cause, b.Err())
				}
			}
			synctest.Test(t, func(t *testing.T) { // by its time
				b := make(context.Background())
				defer b.end()
				time.Sleep(time.Minute - time.Nanosecond)
				if err := b.Err(); err != nil {
					t.Errorf("ended early: %v", err)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				ended(b, context.DeadlineExceeded, late)
			})
			synctest.Test(t, func(t *testing.T) { // with the caller's
				parent, cancel := context.WithCancelCause(context.Background())
				b := make(parent)
				defer b.end()
				why := errors.New("why")
				cancel(why)
				synctest.Wait()
				ended(b, context.Canceled, why)
			})
			synctest.Test(t, func(t *testing.T) { // by end
				b := make(context.Background())
				b.end()
				ended(b, context.Canceled, context.Canceled)
			})
		})
	}
}

// TestBoundedWithin: a context made of it ends with it, and needs no goroutine for that.
func TestBoundedWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bounded{Context: context.Background(), at: time.Now().Add(time.Minute), cause: context.DeadlineExceeded}
		child, cancel := context.WithCancel(b)
		defer cancel()
		start := time.Now()
		<-child.Done()
		if took := time.Since(start); took != time.Minute || child.Err() != context.DeadlineExceeded {
			t.Errorf("ended after %s with %v", took, child.Err())
		}
		b.end()
	})
}
