package nats

import (
	"context"
	"errors"
	"time"
)

// behindLooks is how often a cluster is asked again that knows of no such stream, after 10 ms, 20 ms
// and so on, 310 ms in all: any server may answer, and one that is busy learns late of a stream.
// behindLeader is the same for a consumer that its leader does not tell of, 2.5 s in all.
const (
	behindLooks  = 5
	behindLeader = 8
)

// errBehind is for an answer of a server that has no part of a consumer yet.
var errBehind = errors.New("a server of the cluster answered that is behind the consumer's leader")

// whileBehind asks, and asks a cluster again as long as a server says that there is no such stream: it
// may be behind the one that has it. The error is that of the last time.
func (d *Driver) whileBehind(ctx context.Context, ask func() error) error {
	for look := 0; ; look++ {
		err := ask()
		again := isCode(err, codeStreamNotFound) && look < behindLooks || err == errBehind && look < behindLeader
		if !again || d.conn.nc().ConnectedClusterName() == "" {
			return err
		}
		if d.conn.sleep(ctx, clusterPoll<<look) != nil {
			return err
		}
	}
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

// queryTimeout is after how long a query that nobody answered is repeated.
const queryTimeout = 500 * time.Millisecond

// probe asks a subject once, and returns the status of the answer: empty for one that has none, also
// where nothing was sent.
func (d *Driver) probe(ctx context.Context, subject string, h header, data []byte) (string, error) {
	r, err := d.conn.requests(1, subject)
	if err != nil {
		return "", err
	}
	_ = r.send(0, subject, h, data) // its error is told by the answer, which is unsent then
	once, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := r.wait(once); err != nil {
		return "", err
	}
	return status(r.answers[0]), nil
}

// clusterPoll is how long is waited between looks at something that the servers
// of a cluster have agreed on and not done yet.
const clusterPoll = 10 * time.Millisecond
