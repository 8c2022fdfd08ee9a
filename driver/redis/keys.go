package redis

import "strings"

// The streams by level, as the scripts index them from 1.
var levelNames = [5]string{"critical", "high", "normal", "low", "trivial"}

// groupName is the consumer group of each stream, as in lib.lua.
const groupName = "batch"

// normalStream is the index of the stream of jobs without a level.
const normalStream = 3

// fixedKeys is how many keys every script gets; see scripts/lib.lua.
const fixedKeys = 14

// keys are the names of what a queue consists of in Redis. They share the hash
// tag {queue}, so that in a cluster they lie on one node and scripts may touch
// them together. A queue is spread over no more than one node by that; queues
// are spread over all of them.
type keys struct {
	prefix string
	// fixed are those that every script gets, boxed once.
	fixed [fixedKeys]any
	// enqueue are those of the enqueue script.
	enqueue [len(levelNames) + 1]any

	wake, meta, lock, reading string
}

// braces escapes what would end or change the hash tag. It is injective, as
// two queues must not share keys.
var braces = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")

func newKeys(queue string) *keys {
	k := &keys{prefix: "batch:{" + braces.Replace(queue) + "}:"}
	k.wake, k.meta, k.lock, k.reading = k.prefix+"wake", k.prefix+"meta", k.prefix+"lock", k.prefix+"reading"
	for i, name := range levelNames {
		k.fixed[i] = k.prefix + name
		k.enqueue[i] = k.fixed[i]
	}
	k.enqueue[len(levelNames)] = k.wake
	for i, name := range [...]string{"due", "bodies", "groups", "behind", "dead", "wake", "paused", "timer", "deleted"} {
		k.fixed[5+i] = k.prefix + name
	}
	return k
}

// dedup is the key that remembers a dedup key.
func (k *keys) dedup(key string) string { return k.prefix + "dedup:" + key }

// poke is the list that unblocks a consumer's BLPOP when it closes.
func (k *keys) poke(consumer string) string { return k.prefix + "poke:" + consumer }
