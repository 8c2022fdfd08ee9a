package nats

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// timed is an answer that carries the server's time.
type timed interface{ serverTime() time.Time }

// query makes a request of the API that changes nothing. In a cluster nobody may
// answer it while the stream or its leader comes or goes, so it is asked again
// until ctx ends; everything else is asked once.
func (d *Driver) query(ctx context.Context, subject string, answer timed) error {
	for {
		once, cancel := context.WithTimeout(ctx, queryTimeout)
		asked := time.Now()
		err := d.conn.callAPI(once, subject, nil, answer)
		cancel()
		if err == nil {
			d.clock.observe(asked, answer.serverTime())
		}
		if err != context.DeadlineExceeded || ctx.Err() != nil {
			return err
		}
	}
}

// streamInfo asks for the stream of a queue that should be there.
func (d *Driver) streamInfo(ctx context.Context, n *names) (info *streamInfo, err error) {
	err = d.whileBehind(ctx, func() error {
		info, err = d.findStream(ctx, n)
		return err
	})
	return info, err
}

// findStream is streamInfo for a queue that may not be there: it takes the first answer.
func (d *Driver) findStream(ctx context.Context, n *names) (*streamInfo, error) {
	var info streamInfo
	if err := d.query(ctx, d.apiRoot+"STREAM.INFO."+n.stream, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// streamNames lists the streams that have messages of some subjects, sorted. The
// server gives at most 1024 in one answer (JSApiNamesLimit), from a place in their
// order on. If one before that place was made or deleted meanwhile, all are asked for
// again.
func (d *Driver) streamNames(ctx context.Context, filter string) ([]string, error) {
	var names []string
	for {
		// The last one again shows whether the others have moved.
		request := struct {
			Subject string `json:"subject"`
			Offset  int    `json:"offset"`
		}{filter, max(len(names)-1, 0)}
		var answer struct {
			Streams []string `json:"streams"`
			Total   int      `json:"total"`
		}
		if err := d.conn.callAPI(ctx, d.apiRoot+"STREAM.NAMES", request, &answer); err != nil {
			return nil, err
		}
		page := answer.Streams
		if len(names) > 0 {
			if len(page) == 0 || page[0] != names[len(names)-1] {
				names = nil
				continue
			}
			page = page[1:]
		}
		names = append(names, page...)
		if len(page) == 0 || len(names) >= answer.Total {
			return names, nil
		}
	}
}

// consumerInfo asks for a consumer of a queue. One that somebody removed is made again,
// if the queue is there.
func (d *Driver) consumerInfo(ctx context.Context, n *names, name string) (*consumerInfo, error) {
	info, err := d.ledConsumer(ctx, n, name)
	if isCode(err, codeConsumerNotFound) {
		made, err := d.createConsumer(ctx, n, n.consumer(name))
		if err == nil && name == consumerJobs && made.NumPending > 0 {
			d.forgetMarks(ctx, n)
		}
		return made, err
	}
	return info, err
}

// ledConsumer asks for a consumer of a queue, and believes its leader only. On a cluster one of its servers answers, too, that
// has not made its part of the consumer yet: with the configuration that it knows of, which may be from before the last
// change, and without counts and a leader (jsConsumerInfoRequest of server/jetstream_api.go). A queue that it
// tells is not paused may be, and one that it tells is empty may not.
func (d *Driver) ledConsumer(ctx context.Context, n *names, name string) (*consumerInfo, error) {
	var info consumerInfo
	err := d.whileBehind(ctx, func() error {
		info = consumerInfo{}
		if err := d.query(ctx, d.apiRoot+"CONSUMER.INFO."+n.stream+"."+name, &info); err != nil {
			return err
		}
		if info.Cluster != nil {
			d.clustered.Store(true)
		}
		if d.isBehind(&info) {
			return errBehind
		}
		return nil
	})
	if err == errBehind && !d.clustered.Load() {
		err = nil // JetStream runs on one server of the cluster only, and nothing was handed out yet
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// isBehind tells whether an answer is not of the consumer's leader. One server that has JetStream for itself tells of no
// cluster. What it has handed out begins with the first sequence of the stream, which is a time.
func (d *Driver) isBehind(info *consumerInfo) bool {
	switch {
	case d.conn.nc().ConnectedClusterName() == "":
		return false
	case info.Cluster != nil:
		return info.Cluster.Leader == ""
	}
	return d.clustered.Load() || info.Delivered.Stream == 0
}

// consumers asks for consumers of a queue at the same time, and makes those that are missing.
// made says that there are none yet. The error is that of the first in their order.
func (d *Driver) consumers(ctx context.Context, n *names, want []consumerConfig, made bool) ([]*consumerInfo, error) {
	all, errs := make([]*consumerInfo, len(want)), make([]error, len(want))
	var asked sync.WaitGroup
	for i, config := range want {
		asked.Go(func() {
			if made {
				all[i], errs[i] = d.createConsumer(ctx, n, config)
			} else {
				all[i], errs[i] = d.consumerInfo(ctx, n, config.Durable)
			}
		})
	}
	asked.Wait()
	return all, cmp.Or(errs...)
}

// forgetMarks removes all marks, after the consumer of the jobs was made again: it counts
// from one how often it has handed out an entry, so that a mark from before would be
// taken for that of a later holder. The holder that removes the entry first settles it then.
func (d *Driver) forgetMarks(ctx context.Context, n *names) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, _ = d.purge(ctx, n, []string{n.allHeld()}) // what it leaves delays jobs by some leases
}

// serverNow is the server's time, asking for it if it is not known of late.
func (d *Driver) serverNow(ctx context.Context, n *names) (moment, error) {
	if now, ok := d.clock.now(); ok {
		return now, nil
	}
	if _, err := d.streamInfo(ctx, n); err != nil {
		return moment{}, err
	}
	now, _ := d.clock.now()
	return now, nil
}

// whyUnanswered finds out why nobody took a message or pull: because the queue
// does not exist, or because its servers are not ready. Any other error stays as
// it is.
func (d *Driver) whyUnanswered(ctx context.Context, n *names, err error) error {
	if !isUnanswered(err) {
		return err
	}
	for look := range 7 {
		_, again := d.consumerInfo(ctx, n, consumerJobs)
		if isNoQueue(again) {
			return errNoQueue
		}
		if d.conn.nc().ConnectedClusterName() == "" {
			return err
		}
		// The servers of a cluster learn of a deletion one after the other: the one
		// that answers may not know yet what the one that had the queue does.
		if d.conn.sleep(ctx, 20*time.Millisecond<<look) != nil {
			break
		}
	}
	return err
}

// createConsumer makes a consumer, or takes what somebody else made meanwhile.
func (d *Driver) createConsumer(ctx context.Context, n *names, config consumerConfig) (*consumerInfo, error) {
	request := struct {
		Stream string         `json:"stream_name"`
		Config consumerConfig `json:"config"`
		Action string         `json:"action"`
	}{n.stream, config, "create"}
	var info consumerInfo
	err := d.whileBehind(ctx, func() error {
		return d.conn.callAPI(ctx, d.apiRoot+"CONSUMER.CREATE."+n.stream+"."+config.Durable+"."+config.FilterSubject, request, &info)
	})
	if isCode(err, codeConsumerExists) {
		return d.ledConsumer(ctx, n, config.Durable)
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}
