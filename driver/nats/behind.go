package nats

import (
	"context"
	"time"
)

// behindLooks is how often a cluster is asked again that knows of no such stream, after 10 ms, 20 ms
// and so on, 310 ms in all: any server may answer, and one that is busy learns late of a stream.
// behindLeader is the same for a consumer that its leader does not tell of, 2.5 s in all.
const (
	behindLooks  = 5
	behindLeader = 8
)

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
