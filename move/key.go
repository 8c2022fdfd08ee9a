package move

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"sync"

	"github.com/batch-go/batch"
)

// importKey is the key of a job that moves: the same whenever it is moved, by whichever mover,
// and another one for each other job. It is made of what no move changes, so that a queue can
// forget it when the job goes on. The history is no part of it: between the death of one mover
// and the next a scheduled job becomes due, and may fail once more. A dead letter has another one,
// so that it is not taken for a job of the same ID that waits.
func importKey(e *batch.Entry, dead bool) string {
	h := sha256.New()
	for _, s := range []string{strconv.FormatBool(dead), e.ID, e.Kind, e.ContentType, strconv.FormatInt(e.EnqueuedAt.UnixMilli(), 10), string(e.Body)} {
		var length [8]byte // so that no two rows of texts are the same bytes
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		_, _ = h.Write(length[:]) // a hash never fails
		_, _ = h.Write([]byte(s))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// mostRecent is how many keys a mover remembers that it has stored: some 50 MB of them. Twins, which
// are all that they are for, were enqueued in one millisecond, and stand close to each other.
const mostRecent = 1 << 20

// recent is a set of the keys that were added last. It is safe for concurrent use. The zero value is
// ready.
type recent struct {
	mu   sync.Mutex // guards following
	keys map[uint64]struct{}
	ring []uint64
	next int // the place of the oldest, once the ring is full
}

// number is a key as it is remembered. Two keys with one number are as unlikely as a job that is
// taken for another's twin is harmless: it is stored again.
func number(key string) uint64 {
	raw, _ := base64.RawURLEncoding.DecodeString(key) // importKey wrote it
	if len(raw) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}

// add adds a key, unless it is empty.
func (r *recent) add(key string) {
	if key == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = make(map[uint64]struct{})
	}
	n := number(key)
	if _, is := r.keys[n]; is {
		return
	}
	r.keys[n] = struct{}{}
	if len(r.ring) < mostRecent {
		r.ring = append(r.ring, n)
		return
	}
	delete(r.keys, r.ring[r.next])
	r.ring[r.next] = n
	r.next = (r.next + 1) % mostRecent
}

// has tells whether a key was added.
func (r *recent) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, is := r.keys[number(key)]
	return is
}
