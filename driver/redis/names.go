package redis

import (
	"strings"

	"github.com/batch-go/batch/driver"
)

const (
	// levelCount is how many levels there are. Each has a stream, and a second one for
	// jobs that came back, which are handed out first.
	levelCount = 5
	// streamCount is how many streams a queue has.
	streamCount = 2 * levelCount
	// normalStream is the index of the stream of the level Normal.
	normalStream = 3
	// backOffset is added to the index of a level's stream to name that of the jobs that
	// came back, as in lib.lua.
	backOffset = 15
	// sharedCount is how many keys every script gets, as base.lua lists them.
	sharedCount = 20
	// wakeIndex and metaIndex are where wake and meta stand in keyNames.
	wakeIndex, metaIndex = 10, 14
	// groupName is the consumer group of each stream, as in base.lua.
	groupName = "batch"
)

// keyNames are the ends of the keys that every script gets, in base.lua's order.
// The first levelCount are the streams, from Critical to Trivial, and the last those of
// the jobs that came back.
var keyNames = [sharedCount]string{
	"critical", "high", "normal", "low", "trivial",
	"due", "bodies", "groups", "behind", "dead", "wake", "paused", "timer", "deleted", metaName,
	"critical-back", "high-back", "normal-back", "low-back", "trivial-back",
}

// streamOf returns the index of a level's stream.
func streamOf(l driver.Level) int { return normalStream - int(l) }

// slotOf is the place of a stream among all, from 0, as STREAMS of base.lua lists them. False
// says that there is no such stream.
func slotOf(stream int) (slot int, ok bool) {
	switch {
	case stream >= 1 && stream <= levelCount:
		return stream - 1, true
	case stream > backOffset && stream <= backOffset+levelCount:
		return stream - backOffset - 1 + levelCount, true
	}
	return 0, false
}

// levelOf is the level of the jobs in a stream.
func levelOf(stream int) driver.Level {
	if stream > backOffset {
		stream -= backOffset
	}
	return driver.Level(normalStream - stream)
}

// names are the keys of a queue. They share the hash tag {queue}, so that in a
// cluster they lie on one node and a script may touch them together. So a queue
// is never spread over several nodes, but different queues are.
type names struct {
	prefix string
	// shared are the keys that every script gets, boxed once.
	shared [sharedCount]any
	// enqueue are those of the enqueue script, which goes without base.lua.
	enqueue [levelCount + 2]any

	// existsMeta is the command that looks whether there is the queue.
	existsMeta [2]any
	// copyToken is the command that makes the token in wake, if there is none.
	copyToken [3]any

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
	copy(n.enqueue[:], n.shared[:levelCount])
	n.existsMeta = [...]any{"exists", n.prefix + metaName}
	n.copyToken = [...]any{"copy", n.prefix + "token", n.wake}
	n.enqueue[levelCount], n.enqueue[levelCount+1] = n.wake, n.prefix+metaName
	return n
}

// dedup is the key that remembers a dedup key.
func (n *names) dedup(key string) string { return n.prefix + "dedup:" + key }

// imported is the key that remembers an import key.
func (n *names) imported(key string) string { return n.prefix + "import:" + key }

// unblock is a list that ends a BLPOP of the consumer's process when other keys are to be
// waited on, or none.
func (n *names) unblock(consumer string) string { return n.prefix + "poke:" + consumer }
