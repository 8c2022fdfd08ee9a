package move

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/batch-go/batch"
)

// letterPage is how many dead letters are read and discarded at once: as many as can be, since some
// brokers read all of them for each page.
const letterPage = 1000

// letterChunk is how many are stored before they are discarded, where a page costs no more than
// what is in it.
const letterChunk = 50

// letters moves dead letters.
type letters struct{ *mover }

// pass moves the dead letters that there are, and returns how many.
//
// To discard one by its ID discards all with this ID. So it first counts the IDs, and stores all of
// an ID before it discards any.
func (l *letters) pass(ctx context.Context) (moved int, err error) {
	seed := maphash.MakeSeed()
	count := make(map[uint64]int)
	number := func(id string) uint64 { return maphash.String(seed, id) }
	if err := l.each(ctx, func(page []batch.DeadLetter) error {
		for i := range page {
			count[number(page[i].ID)]++
		}
		return nil
	}); err != nil {
		return 0, err
	}
	several := make(map[uint64][]*parcel)
	err = l.each(ctx, func(page []batch.DeadLetter) error {
		var some []*parcel
		for i := range page {
			n := number(page[i].ID)
			if !l.wants(page[i].Kind) {
				l.tally.change(func(c *Progress) { c.Others++ })
				continue
			}
			group := append(several[n], &parcel{entry: page[i].Entry()})
			several[n] = group
			if len(group) == count[n] {
				some = append(some, group...)
				delete(several, n)
			}
		}
		n, err := l.moveAll(ctx, some)
		moved += n
		return err
	})
	return moved, err
}

// each reads all dead letters, a page at a time.
func (l *letters) each(ctx context.Context, visit func([]batch.DeadLetter) error) error {
	for cursor := ""; ctx.Err() == nil; {
		page, next, err := l.source.DeadLetters().List(ctx, cursor, letterPage)
		if err != nil {
			return err
		}
		if err := visit(page); err != nil {
			return err
		}
		if cursor = next; next == "" {
			return nil
		}
	}
	return nil
}

// moveAll moves parcels, all of an ID together.
func (l *letters) moveAll(ctx context.Context, parcels []*parcel) (moved int, err error) {
	size := letterChunk
	if !l.source.CanInspect() {
		size = letterPage
	}
	for len(parcels) > 0 && ctx.Err() == nil {
		n := min(size, len(parcels))
		for n < len(parcels) && parcels[n].entry.ID == parcels[n-1].entry.ID {
			n++
		}
		some, err := l.move(parcels[:n])
		if moved += some; err != nil {
			return moved, err
		}
		parcels = parcels[n:]
	}
	return moved, nil
}

// move stores dead letters on the target, and then discards them on the source. A stop of the
// mover does not interrupt it.
func (l *letters) move(parcels []*parcel) (moved int, err error) {
	l.tally.begin()
	defer l.tally.end()
	ctx := l.finishing
	err = l.target.store(ctx, parcels, shelfCall, func(context.Context, []*parcel) {})
	var refused error
	staying := make(map[string]bool)
	for _, p := range parcels {
		switch {
		case p.stored:
			continue
		case p.refused != nil && l.leave:
			l.refuse(p)
		case p.refused != nil:
			refused = p.refused
		default:
			l.doubt(p, err)
		}
		staying[p.entry.ID] = true
	}
	var stored []*parcel
	for _, p := range parcels {
		switch {
		case p.stored && !staying[p.entry.ID]:
			stored = append(stored, p)
		case p.stored:
			l.double(p, errors.New("another dead letter with its ID was refused"))
		}
	}
	moved, discarded := l.discard(ctx, stored)
	if err = errors.Join(err, discarded); err == nil {
		err = refused
	}
	return moved, err
}

// errMore ends a move that has discarded what it did not store: brokers discard by ID.
var errMore = errors.New("jobs with the IDs of others died in that moment, or another mover moves the other way")

// discard discards dead letters that are stored on the target, and counts them.
func (l *letters) discard(ctx context.Context, parcels []*parcel) (moved int, err error) {
	if len(parcels) == 0 {
		return 0, nil
	}
	if err := l.forget(ctx, parcels, shelfCall); err != nil {
		for _, p := range parcels {
			l.double(p, err)
		}
		return 0, err
	}
	ids := make([]string, len(parcels))
	for i, p := range parcels {
		ids[i] = p.entry.ID
	}
	wait := patience{config: &l.config}
	total, exact := 0, true
	for {
		n, err := l.source.DeadLetters().Delete(ctx, ids...)
		total += n
		if err == nil {
			break
		}
		exact = false
		if failed := wait.await(ctx, err); failed != nil {
			for _, p := range parcels[min(total, len(parcels)):] {
				l.double(p, err)
			}
			return total, failed
		}
	}
	for _, p := range parcels {
		l.tally.moved(p.entry.State, p.earlier)
	}
	switch missing := len(parcels) - total; {
	case missing > 0 && exact:
		l.tally.change(func(c *Progress) { c.Doubled += int64(missing) })
		l.fault(fmt.Errorf("move: %d of %d dead letters that are stored on queue %s were gone from the source: if somebody redrove them, or another mover took them, they are there twice", missing, len(parcels), l.to))
	case missing < 0:
		return len(parcels), fmt.Errorf("move: %d dead letters more than the %d that were stored on queue %s were discarded: %w", -missing, len(parcels), l.to, errMore)
	}
	return len(parcels), nil
}
