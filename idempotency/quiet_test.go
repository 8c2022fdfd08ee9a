package idempotency_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
)

// noting is a store that notes when claims are renewed, and may take its time.
type noting struct {
	*idempotency.Memory
	start   time.Time
	renewed []time.Duration
	// begins and extends are how long the calls take.
	begins, extends time.Duration
}

func (s *noting) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	defer time.Sleep(s.begins)
	return s.Memory.Begin(ctx, key, ttl)
}

func (s *noting) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	time.Sleep(s.extends)
	s.renewed = append(s.renewed, time.Since(s.start))
	return s.Memory.Extend(ctx, claim, ttl)
}

// renewals runs a handler with a TTL of 30 s and returns when its claim was renewed.
func renewals(t *testing.T, s *noting, h batch.Handler) ([]time.Duration, error) {
	t.Helper()
	s.Memory, s.start = idempotency.NewMemory(0), time.Now()
	err := run(t, idempotency.Middleware(s, idempotency.TTL(30*time.Second)), "a", h)
	return s.renewed, err
}

// In the quiet of a transaction a claim is renewed when it must be, and not before.
func TestQuiet(t *testing.T) {
	for _, test := range []struct {
		name         string
		after, lasts time.Duration
		want         []time.Duration
	}{
		{"from the start", 0, 15 * time.Second, []time.Duration{20 * time.Second, 30 * time.Second}},
		{"before a renewal", 9 * time.Second, 10 * time.Second, []time.Duration{20 * time.Second, 30 * time.Second}},
		{"after a renewal", 11 * time.Second, 15 * time.Second, []time.Duration{10 * time.Second, 30 * time.Second}},
		{"for too long", 0, 34 * time.Second, []time.Duration{20 * time.Second}},
		{"none", 35 * time.Second, 0, []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := renewals(t, &noting{}, func(ctx context.Context, _ *batch.JobInfo) error {
					time.Sleep(test.after)
					end := idempotency.Quiet(ctx)
					other := idempotency.Quiet(ctx)
					time.Sleep(test.lasts)
					end()
					end() // the second does nothing
					other()
					time.Sleep(35*time.Second - test.after - test.lasts)
					return ctx.Err()
				})
				if !slices.Equal(got, test.want) || err != nil {
					t.Errorf("the claim was renewed after %v, want %v; error %v", got, test.want, err)
				}
			})
		})
	}
	idempotency.Quiet(t.Context())() // outside of a handler it does nothing
}

// A renewal that is under way when the quiet begins is waited for, unless the context ends.
func TestQuietAwaitsRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := renewals(t, &noting{extends: 4 * time.Second}, func(ctx context.Context, _ *batch.JobInfo) error {
			time.Sleep(11 * time.Second)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			start := time.Now()
			idempotency.Quiet(short)()
			if took := time.Since(start); took != time.Second {
				t.Errorf("the quiet of a context that ends began after %s", took)
			}
			idempotency.Quiet(ctx)()
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("the quiet began after %s, want it at the end of the renewal", took)
			}
			return nil
		})
		if want := []time.Duration{14 * time.Second}; !slices.Equal(got, want) || err != nil {
			t.Errorf("the claim was renewed after %v, want %v; error %v", got, want, err)
		}
	})
}

// A claim lasts from the question on: what the answer took is of its time.
func TestSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := renewals(t, &noting{begins: 16 * time.Second}, func(context.Context, *batch.JobInfo) error {
			time.Sleep(11 * time.Second)
			return nil
		})
		if want := []time.Duration{16 * time.Second, 26 * time.Second}; !slices.Equal(got, want) || err != nil {
			t.Errorf("the claim was renewed after %v, want %v; error %v", got, want, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &noting{begins: 31 * time.Second}
		_, err := renewals(t, s, func(context.Context, *batch.JobInfo) error { return errors.New("it ran without a claim") })
		if err == nil || !strings.Contains(err.Error(), "longer to answer than the TTL of 30s") {
			t.Errorf("the job ended with %v", err)
		}
	})
}
