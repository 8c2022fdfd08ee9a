package redis

import (
	"strings"

	"github.com/batch-go/batch/driver"
)

const (
	// streamCount is how many streams a queue has: one for each level. The
	// scripts count them from 1.
	streamCount = 5
	// normalStream is the index of the stream of the level Normal.
	normalStream = 3
	// sharedCount is how many keys every script gets, as lib.lua lists them.
	sharedCount = 14
	// groupName is the consumer group of each stream, as in lib.lua.
	groupName = "batch"
)

// keyNames are the ends of the keys that every script gets, in lib.lua's order.
// The first streamCount are the streams, from Critical to Trivial.
var keyNames = [sharedCount]string{
	"critical", "high", "normal", "low", "trivial",
	"due", "bodies", "groups", "behind", "dead", "wake", "paused", "timer", "deleted",
}

// streamOf returns the index of a level's stream.
func streamOf(l driver.Level) int { return normalStream - int(l) }

// names are the keys of a queue. They share the hash tag {queue}, so that in a
// cluster they lie on one node and a script may touch them together. So a queue
// is never spread over several nodes, but different queues are.
type names struct {
	prefix string
	// shared are the keys that every script gets, boxed once.
	shared [sharedCount]any
	// enqueue are those of the enqueue script, which goes without lib.lua.
	enqueue [streamCount + 1]any

	wake, meta, lock, reading string
}

// tagEscaper escapes what would end or change the hash tag. No two queues get
// the same tag.
var tagEscaper = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")

// newNames names the keys of a queue.
func newNames(queue string) *names {
	n := &names{prefix: "batch:{" + tagEscaper.Replace(queue) + "}:"}
	n.wake, n.meta, n.lock, n.reading = n.prefix+"wake", n.prefix+"meta", n.prefix+"lock", n.prefix+"reading"
	for i, name := range keyNames {
		n.shared[i] = n.prefix + name
	}
	copy(n.enqueue[:], n.shared[:streamCount])
	n.enqueue[streamCount] = n.wake
	return n
}

// dedup is the key that remembers a dedup key.
func (n *names) dedup(key string) string { return n.prefix + "dedup:" + key }

// unblock is the list that ends a consumer's BLPOP when it closes.
func (n *names) unblock(consumer string) string { return n.prefix + "poke:" + consumer }
