package outbox

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"
)

// term is the time in which the lease is a relay's.
type term struct {
	box   *Box
	lease time.Duration
	token int64
	// until is when it ends at the latest by our own clock, which began to count before the database did.
	until time.Time
}

// acquire takes the lease, if nobody has it: else the term is nil.
func (b *Box) acquire(ctx context.Context, lease time.Duration) (*term, error) {
	t := &term{box: b, lease: lease, token: rand.Int64()}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	result, err := b.db.ExecContext(ctx, b.text.acquire, t.token, lease.Microseconds())
	if err != nil {
		return nil, b.failed("take the lease", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return nil, err
	}
	t.until = begun.Add(lease)
	return t, nil
}

// left is how long the lease lasts.
func (t *term) left() time.Duration { return time.Until(t.until) }

// renew makes the lease last. It returns false if it is no longer ours.
func (t *term) renew(ctx context.Context) (bool, error) {
	if t.left() <= 0 {
		return false, nil
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, t.left())
	defer cancel()
	result, err := t.box.db.ExecContext(ctx, t.box.text.renew, t.lease.Microseconds(), t.token)
	if err != nil {
		return false, t.box.failed("renew the lease", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, t.box.failed("renew the lease", err)
	}
	if n == 0 { // MySQL counts what has changed: it may be ours still
		err := t.box.db.QueryRowContext(ctx, t.box.text.holds, t.token).Scan(new(int))
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		return false, t.box.failed("renew the lease", errors.Join(errors.New("it did not change"), err))
	}
	t.until = begun.Add(t.lease)
	return true, nil
}

// release gives the lease up, so that another relay need not wait for its end.
func (t *term) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(t.lease, grace))
	defer cancel()
	_, _ = t.box.db.ExecContext(ctx, t.box.text.release, t.token) // else it ends by itself
}
