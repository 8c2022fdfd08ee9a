package nats

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// requests are a number of requests that one call sends, whose answers it awaits
// together. The client library's own requests are not used: they know only one
// answer for one request and take a timer each.
type requests struct {
	link  *link
	out   outbox // what is to be sent
	scope string // the subject of all requests, or with a dot at its end what they begin with
	// entries are what the requests store, if that is what they do, and atomic that they
	// are stored together or not at all. Then there is no scope.
	entries []entry
	atomic  bool
	apart   bool          // the answer comes to an inbox of its own
	reply   string        // the subject of the answers, without the number
	id      uint64        // of the requests on their connection
	forget  func()        // called when the answers are not awaited any more; nil if apart
	done    chan struct{} // closed when nothing more is awaited
	// written is how many bytes the system had taken before the first of the requests.
	written uint64

	mu      sync.Mutex // guards following
	answers []*natsgo.Msg
	left    int  // how many answers are missing
	many    bool // answers come until one ends them
	broken  error
	refusal error // of those whose answer is refused
	over    bool
}

// covers tells whether a request may have gone to subject. A scope without a dot at its
// end is a whole subject: that of another queue may begin with it.
func (r *requests) covers(subject string) bool {
	return subject == r.scope || strings.HasSuffix(r.scope, ".") && strings.HasPrefix(subject, r.scope)
}

// silence is how long requests go without any answer before they are given up. It
// is twice what the client library waits by default, as what was asked may have
// been done.
const silence = 10 * time.Second

var (
	// unsent stands for the answer to a request that was not sent.
	unsent = &natsgo.Msg{}
	// refused stands for the answer to a request whose subject the server refused.
	refused = &natsgo.Msg{}
)

// send sends request i, with the others at the latest when wait is called. An error says that it
// was not sent.
func (r *requests) send(i int, subject string, h header, data []byte) error {
	err := r.out.put(subject, r.reply, i, h, data)
	if err != nil {
		r.skip(i)
	}
	return err
}

// tell sends a message behind the requests before, to which there is no answer.
func (r *requests) tell(subject string, h header, data []byte) error {
	return r.out.put(subject, "", 0, h, data)
}

// sendForMany sends the only request, whose answers are messages of the stream
// and in the end one that is none.
func (r *requests) sendForMany(subject string, data []byte) error {
	r.mu.Lock()
	r.many = true
	r.mu.Unlock()
	return r.out.put(subject, r.reply, 0, nil, data)
}

// skip gives up the answer to request i, which was not sent.
func (r *requests) skip(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over && r.answers[i] == nil {
		r.answers[i] = unsent
		r.count()
	}
}

// take takes the answer to request i.
func (r *requests) take(i int, m *natsgo.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	if r.many {
		r.answers = append(r.answers, m)
		if m.Header.Get(natsSequence) == "" { // it is no message of the stream
			r.over = true
			close(r.done)
		}
		return
	}
	if i < 0 || i >= len(r.answers) || r.answers[i] != nil {
		return
	}
	r.answers[i] = m
	r.count()
}

// count counts an answer. r.mu must be held.
func (r *requests) count() {
	if r.left--; r.left == 0 {
		r.over = true
		close(r.done)
	}
}

// fail ends the requests without the answers that are missing.
func (r *requests) fail(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	if why == errLost && r.link.socket != nil && r.link.written() == r.written {
		why = errUnsent
	}
	r.over, r.broken = true, why
	close(r.done)
}

// refuse ends what was sent to a subject, as the server refused it. What was sent to
// others may be stored, and has its answers.
func (r *requests) refuse(subject string, why error) {
	hit := r.entries == nil && r.covers(subject)
	if r.atomic {
		hit = slices.ContainsFunc(r.entries, func(e entry) bool { return e.subject == subject })
	}
	if hit {
		r.fail(why)
	}
	if r.entries == nil || r.atomic {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.entries {
		if !r.over && r.entries[i].subject == subject && r.answers[i] == nil {
			r.answers[i], r.refusal = refused, why
			r.count()
		}
	}
}

// wait sends what is left to send and waits for all answers. It returns nil if all came, else why
// it gave up; what came until then is in the answers, which belong to the caller then.
func (r *requests) wait(ctx context.Context) error {
	if r.ended() {
		r.out.drop() // nobody waits for what would come of it
	}
	r.out.write()
	r.await(ctx)
	r.forget()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

// ended tells whether nothing more is awaited.
func (r *requests) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// await returns when nothing more is awaited.
func (r *requests) await(ctx context.Context) {
	look := time.NewTicker(silence)
	defer look.Stop()
	for before := -1; ; {
		select {
		case <-r.done:
			return
		case <-ctx.Done():
			r.fail(ctx.Err())
			return
		case <-look.C:
		}
		came := r.came()
		if came == before {
			r.fail(errSilent)
			return
		}
		before = came
	}
}

// came is how many answers there are.
func (r *requests) came() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.many {
		return len(r.answers)
	}
	return len(r.answers) - r.left
}
