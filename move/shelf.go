package move

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch"
)

const (
	// margin is how long before its time a scheduled job is moved at the latest. What is due
	// earlier becomes waiting first: it has to be removed from the source while it certainly
	// does not run, also if the clocks of the brokers and of the mover are some seconds apart.
	margin = 30 * time.Second
	// surely is how long before its time it is removed at the latest.
	surely = 10 * time.Second
	// shelfPage is how many jobs are listed at once, and shelfChunk how many are stored
	// before the first of them is removed: the more, the longer a crash doubles them.
	shelfPage  = 200
	shelfChunk = 20
	// fewWaiting is how long the queue may be for scheduled jobs to be removed by their IDs. It
	// may read the queue for each.
	fewWaiting = 1000
	// shelfRest is the time between two looks, and longRest the longest after some which found
	// nothing that could be moved.
	shelfRest = 500 * time.Millisecond
	longRest  = 5 * time.Second
	// shelfCall bounds one request about what no lease holds.
	shelfCall = 15 * time.Second
)

// shelf moves the scheduled jobs of a source that can be looked into.
type shelf struct {
	*mover
	// pending says that the last pass left a job that is to be moved: it becomes waiting.
	pending bool
	// returns are jobs that come back. A twin of one is none, and each loop has few of them.
	returns circle
}

// pass moves the scheduled jobs that are not due soon, and returns how many.
func (s *shelf) pass(ctx context.Context) (moved int, err error) {
	s.pending = false
	for cursor := ""; ctx.Err() == nil; {
		call, cancel := context.WithTimeout(ctx, shelfCall)
		page, next, err := s.source.ListJobs(call, batch.StateScheduled, cursor, shelfPage)
		cancel()
		if err != nil {
			return moved, err
		}
		var some []*parcel
		ids := make(map[string]bool)
		for i := range page {
			e := &page[i]
			switch {
			case !s.wants(e.Kind):
			case time.Until(e.DueAt) < margin || ids[e.ID]:
				s.pending = true
			default:
				ids[e.ID] = true
				some = append(some, &parcel{entry: *e})
			}
		}
		for chunk := range chunks(some, shelfChunk) {
			if ctx.Err() != nil {
				return moved, nil
			}
			n, err := s.move(chunk)
			if moved += n; err != nil {
				return moved, err
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	return moved, nil
}

// move stores some jobs on the target, and then deletes them on the source. A stop of the mover
// does not interrupt it.
func (s *shelf) move(parcels []*parcel) (moved int, err error) {
	s.tally.begin()
	defer s.tally.end()
	ctx := s.finishing
	var found []*parcel
	for _, p := range parcels {
		is, err := s.alone(ctx, p)
		if err != nil {
			return 0, err
		}
		if !is {
			s.pending = true
		} else {
			p.entry.Delay = max(time.Until(p.entry.DueAt), 0)
			found = append(found, p)
		}
	}
	err = s.target.store(ctx, found, shelfCall, func(context.Context, []*parcel) {})
	var refused error
	for _, p := range found {
		switch {
		case p.stored:
			n, deleted := s.delete(ctx, p)
			moved += n
			if err = errors.Join(err, deleted); err == nil && n > 0 {
				err = s.returns.check([]*parcel{p})
			}
		case p.refused != nil && s.leave:
			s.refuse(p)
		case p.refused != nil && s.park && p.refused.ofJob():
			s.pending = true // until it is due, and can be parked
		case p.refused != nil:
			refused = p.refused
		default:
			s.doubt(p, err)
		}
	}
	if err == nil {
		err = refused
	}
	return moved, err
}

// alone tells whether a deletion of the job's ID would delete this job and no other.
func (s *shelf) alone(ctx context.Context, p *parcel) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, shelfCall)
	defer cancel()
	found, err := s.source.FindJob(ctx, p.entry.ID)
	if errors.Is(err, batch.ErrNotFound) {
		return false, nil
	}
	return err == nil && found.State == batch.StateScheduled && found.DueAt.Equal(p.entry.DueAt) && sameJob(&found, &p.entry), err
}

// errTooLate says that a job that was stored must not be deleted any more.
var errTooLate = errors.New("storing it took until it could run")

// errTaken says that somebody else has it.
var errTaken = errors.New("it was handed out, or somebody deleted or moved it, in that moment")

// delete deletes a job that is stored on the target. If it is no longer there, its copy is
// removed again, if that can be done.
func (s *shelf) delete(ctx context.Context, p *parcel) (moved int, err error) {
	if time.Until(p.entry.DueAt) < surely {
		s.double(p, errTooLate)
		return 0, nil
	}
	if err := s.forget(ctx, []*parcel{p}, shelfCall); err != nil {
		s.double(p, err)
		return 0, err
	}
	wait := patience{config: &s.config}
	again := false // whether a try before may have deleted it
	for {
		tried, err := s.deleteAlone(ctx, p)
		switch {
		case err == nil, errors.Is(err, batch.ErrNotFound) && again:
			s.tally.moved(p.entry.State, p.earlier)
			return 1, nil
		case errors.Is(err, batch.ErrNotFound):
			s.undo(ctx, p)
			return 0, nil
		}
		again = again || tried
		if failed := wait.await(ctx, err); failed != nil {
			s.double(p, err)
			return 0, failed
		}
	}
}

// deleteAlone deletes a job unless its ID names another, which may have come meanwhile and would be deleted in its place: then the job
// is not found. It tells whether it has tried.
func (s *shelf) deleteAlone(ctx context.Context, p *parcel) (tried bool, err error) {
	is, err := s.alone(ctx, p)
	if err == nil && !is {
		err = batch.ErrNotFound
	}
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, shelfCall)
	defer cancel()
	return true, s.source.DeleteJob(ctx, p.entry.ID)
}

// undo removes the copy of a job that somebody else has taken. Each mover that stored a copy
// removes one if it did not delete the job, so of several movers one copy is left. That does
// not hold where a target knows keys: there another mover may have found this copy.
func (s *shelf) undo(ctx context.Context, p *parcel) {
	t := s.target
	if p.earlier || p.doubtful || t.once || t.look == nil {
		s.double(p, errTaken)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shelfCall)
	defer cancel()
	found, err := t.look.Find(ctx, t.queue.Name(), p.entry.ID)
	if err == nil && found.State == batch.StateScheduled && sameJob(&found, &p.entry) {
		err = t.look.Delete(ctx, t.queue.Name(), p.entry.ID)
	} else if err == nil {
		err = errTaken
	}
	if err != nil {
		s.double(p, err)
	}
}
