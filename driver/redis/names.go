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
	sharedCount = 15
	// groupName is the consumer group of each stream, as in lib.lua.
	groupName = "batch"
)

// keyNames are the ends of the keys that every script gets, in lib.lua's order.
// The first streamCount are the streams, from Critical to Trivial.
var keyNames = [sharedCount]string{
	"critical", "high", "normal", "low", "trivial",
	"due", "bodies", "groups", "behind", "dead", "wake", "paused", "timer", "deleted", metaName,
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
	enqueue [streamCount + 2]any

	wake, lock, reading string
}

// tagEscaper escapes what would end or change the hash tag. No two queues get
// the same tag.
var tagEscaper = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")

// tagUnescaper undoes tagEscaper.
var tagUnescaper = strings.NewReplacer("%25", "%", "%7B", "{", "%7D", "}")

const (
	// keyStart and tagEnd stand around the queue's name in each of its keys.
	keyStart, tagEnd = "batch:{", "}:"
	// metaName is the end of the key that says that a queue exists.
	metaName = "meta"
	// metaPattern matches the keys that end in it, and a few others perhaps.
	metaPattern = keyStart + "*" + tagEnd + metaName
)

// queueOfMeta is the queue whose meta key this is; false says that it is no such
// key.
func queueOfMeta(key string) (queue string, ok bool) {
	tag, ok := strings.CutPrefix(key, keyStart)
	if ok {
		tag, ok = strings.CutSuffix(tag, tagEnd+metaName)
	}
	queue = tagUnescaper.Replace(tag)
	return queue, ok && tag != "" && tagEscaper.Replace(queue) == tag
}

// newNames names the keys of a queue.
func newNames(queue string) *names {
	n := &names{prefix: keyStart + tagEscaper.Replace(queue) + tagEnd}
	n.wake, n.lock, n.reading = n.prefix+"wake", n.prefix+"lock", n.prefix+"reading"
	for i, name := range keyNames {
		n.shared[i] = n.prefix + name
	}
	copy(n.enqueue[:], n.shared[:streamCount])
	n.enqueue[streamCount], n.enqueue[streamCount+1] = n.wake, n.prefix+metaName
	return n
}

// dedup is the key that remembers a dedup key.
func (n *names) dedup(key string) string { return n.prefix + "dedup:" + key }

// unblock is the list that ends a consumer's BLPOP when it closes.
func (n *names) unblock(consumer string) string { return n.prefix + "poke:" + consumer }
