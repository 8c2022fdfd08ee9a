package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// shift is the lanes that a worker has open at the same time. It ends when the worker
// stops, or when one of its lanes receives a suspect: a job that was lost with its
// worker so often that it may be what kills them. If such a job ran beside others,
// they would be lost with it, and in the end be taken for poison too.
type shift struct {
	config laneConfig
	// fetching ends the shift: with that of the worker, or by stop.
	fetching context.Context
	stop     context.CancelFunc

	mu sync.Mutex // guards following
	// lanes are those that are open. When all have been opened it changes no more.
	lanes []*lane
	// suspect is the job that will run alone, nil if no lane has met one, and from is
	// its lane.
	suspect *task
	from    *lane
	// met are the queues whose lanes have met suspects.
	met []WorkerQueue
}

// newShift makes a shift without lanes.
func newShift(config laneConfig) *shift {
	s := &shift{config: config}
	s.fetching, s.stop = context.WithCancel(config.phases.fetching)
	return s
}

// open opens the lane of a queue. If there is an error, op is the driver's call that
// failed.
func (s *shift) open(ctx context.Context, q WorkerQueue) (l *lane, op Op, err error) {
	l, op, err = openLane(ctx, s.config, q, s.meet)
	if err == nil {
		s.mu.Lock()
		s.lanes = append(s.lanes, l)
		s.mu.Unlock()
	}
	return l, op, err
}

// meet ends the shift because a lane has received suspects. Of all those that the
// lanes receive until they have ended, the one that was lost most often is kept, and
// everything else is given back.
func (s *shift) meet(l *lane, tasks []*task) {
	s.stop()
	worst := 0
	for i, t := range tasks {
		if t.delivery.Redeliveries > tasks[worst].delivery.Redeliveries {
			worst = i
		}
	}
	others := append(tasks[:worst:worst], tasks[worst+1:]...)
	back, to := tasks[worst], l
	s.mu.Lock()
	if !slices.Contains(s.met, l.queue) {
		s.met = append(s.met, l.queue)
	}
	if s.suspect == nil || back.delivery.Redeliveries > s.suspect.delivery.Redeliveries {
		s.suspect, s.from, back, to = back, to, s.suspect, s.from
	}
	s.mu.Unlock()
	l.settler.giveBack(others)
	if back != nil {
		to.settler.giveBack([]*task{back})
	}
}

// isolate ends the shift, and runs the suspect alone. It returns false if there is
// none, or if it could not be isolated and was given back.
func (s *shift) isolate() bool {
	suspect, from := s.retire()
	if suspect == nil {
		return false
	}
	from.runAlone(suspect)
	return true
}

// retire ends the work of all lanes. What has not started is given back, jobs that
// run are waited for, and all is settled. It returns the suspect, if it was met and
// is now the only job that the worker holds, and its lane.
func (s *shift) retire() (*task, *lane) {
	s.stop()
	for _, l := range s.lanes {
		l.drop()
	}
	alone := s.stopConsumers()
	for _, l := range s.lanes {
		l.fetcher.wait()
	}
	suspect, from := s.suspect, s.from // of which there can be no more
	if suspect != nil && s.config.phases.fetching.Err() == nil {
		s.config.hooks.onSuspect(s.config.phases.working, Suspect{Job: &suspect.job, Redeliveries: suspect.delivery.Redeliveries})
	}
	for _, l := range s.lanes {
		l.finish()
	}
	isAlone := alone()
	if suspect != nil && (!isAlone || s.config.phases.fetching.Err() != nil) {
		from.settler.giveBack([]*task{suspect})
		suspect = nil
	}
	for _, l := range s.lanes {
		<-l.settler.idle()
	}
	return suspect, from
}

// stopConsumers has the clients of the broker give back what they have fetched and no
// lane has received, so that other workers get it at once. It does not wait; the
// returned function does, and reports whether all of them did.
func (s *shift) stopConsumers() (wait func() bool) {
	ctx, cancel := context.WithTimeout(s.config.phases.settling, s.config.worker.SettleTimeout)
	var all sync.WaitGroup
	var failed atomic.Bool
	for _, l := range s.lanes {
		all.Go(func() {
			if err := l.consumer.Stop(ctx); err != nil && !errors.Is(err, ErrClosed) {
				failed.Store(true)
				s.config.hooks.onFault(s.config.phases.working, Fault{Queue: l.queue.Name, Op: OpStop, Err: err})
			} else {
				s.config.hooks.answered(l.queue.Name, OpStop)
			}
		})
	}
	return func() bool {
		defer cancel()
		all.Wait()
		return !failed.Load()
	}
}

// close closes the lanes, and returns what their consumers say to it, joined. The
// lanes hold no jobs any more, or cannot settle them.
func (s *shift) close(ctx context.Context) error {
	var mu sync.Mutex
	var errs []error
	doEach(s.lanes, func(l *lane) bool {
		if err := l.close(ctx); err != nil && !errors.Is(err, ErrClosed) {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, fmt.Errorf("batch: close the consumer of queue %s: %w", l.queue.Name, err))
		}
		return true
	})
	return errors.Join(errs...)
}
