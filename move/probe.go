package move

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// probeKind is the kind of the dead letter that tells whether two handles are on one queue.
const probeKind = "batch.move.probe"

// apart makes sure that source and target are two queues. A queue that is moved to itself loses its dead letters, as what is
// removed by its ID is the copy as well, and two handles do not tell whether they are on one broker. So where that may be, a dead
// letter that nobody else knows is stored on the target, looked for on the source, and discarded. A mover that dies meanwhile
// leaves it.
func (m *mover) apart(ctx context.Context) error {
	wait := patience{config: &m.config}
	for m.alike {
		err := m.probe(ctx)
		if err == nil {
			break
		}
		if err := wait.await(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// probe is apart once.
func (m *mover) probe(ctx context.Context) error {
	now := time.Now()
	probe := batch.Entry{State: batch.StateDead, Reason: driver.ReasonPermanent, DeadAt: now, LastError: "package move has left it: discard it"}
	probe.ID, probe.Kind, probe.EnqueuedAt = "batch-move-probe-"+rand.Text(), probeKind, now
	probe.ContentType, probe.Body = "application/json", []byte("{}")
	_, err := batch.Import(ctx, m.target.queue, []batch.Entry{probe})
	found := false
	if err == nil {
		found, err = m.has(ctx, probe.ID)
	}
	// Also if it was not confirmed: it may be there.
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), shelfCall)
	defer cancel()
	if _, gone := m.kept.DeadLetters().Delete(cleaning, probe.ID); gone != nil && err == nil {
		err = fmt.Errorf("move: discard the dead letter %s, which told whether source and target are two queues: %w", probe.ID, gone)
	}
	if err == nil && found {
		return errSelf
	}
	return err
}

// has tells whether the source has a dead letter.
func (m *mover) has(ctx context.Context, id string) (bool, error) {
	found := false
	err := (&letters{mover: m}).each(ctx, func(page []batch.DeadLetter) error {
		for i := range page {
			found = found || page[i].ID == id
		}
		return nil
	})
	return found, err
}
