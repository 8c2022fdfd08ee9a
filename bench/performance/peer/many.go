package peer

import (
	"context"
	"errors"
	"sync"
)

// Each has enqueue called for all jobs by 64 goroutines. It is EnqueueMany of a library that has nothing for
// many jobs.
func Each(jobs []Job, enqueue func(Job) error) error {
	const callers = 64
	next := make(chan Job)
	failed := make([]error, callers)
	var all sync.WaitGroup
	for i := range failed {
		all.Go(func() {
			for j := range next {
				if failed[i] == nil {
					failed[i] = enqueue(j)
				}
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	all.Wait()
	return errors.Join(failed...)
}

// gathered is a Peer whose callers of Enqueue share its EnqueueMany.
type gathered struct {
	Peer
	waiting chan one
	over    sync.WaitGroup
}

// one is a job of a caller who waits for done.
type one struct {
	queue string
	job   Job
	done  chan error
}

// Gather returns a peer whose concurrent callers of Enqueue share requests: what waits is sent together. It
// is the bound of what callers that wait can reach by a raw client.
func Gather(p Peer) Peer {
	g := &gathered{Peer: p, waiting: make(chan one, 64)}
	g.over.Go(g.run)
	return g
}

// Enqueue implements Peer.
func (g *gathered) Enqueue(_ context.Context, queue string, j Job) error {
	o := one{queue, j, make(chan error, 1)}
	g.waiting <- o
	return <-o.done
}

// run sends what waits, one request after another.
func (g *gathered) run() {
	for first := range g.waiting {
		all := []one{first}
		jobs := []Job{first.job}
	more:
		for len(all) < 64 {
			select {
			case o, ok := <-g.waiting:
				if !ok {
					break more
				}
				all, jobs = append(all, o), append(jobs, o.job)
			default:
				break more
			}
		}
		err := g.EnqueueMany(context.Background(), first.queue, jobs)
		for _, o := range all {
			o.done <- err
		}
	}
}

// Close implements Peer.
func (g *gathered) Close() error {
	close(g.waiting)
	g.over.Wait()
	return errors.Join(g.Peer.Close())
}
