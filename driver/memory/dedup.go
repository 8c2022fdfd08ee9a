package memory

import (
	"container/heap"
	"slices"
)

// keyOverhead is what a remembered key counts towards Options.MaxBytes besides
// the key and the ID: the structure and its share of the map.
const keyOverhead = 160

// rememberedKey is a dedup key within its window.
type rememberedKey struct {
	key, id string
	number  uint64 // that of the job that took it
	ends    instant
	place   int // in endingKeys
}

// size is what the key counts towards Options.MaxBytes while it is remembered, which
// is also after its job is gone.
func (k *rememberedKey) size() int64 { return keySize(k.key, k.id) }

// keySize is rememberedKey.size for a key that is not remembered yet.
func keySize(key, id string) int64 { return int64(keyOverhead + len(key) + len(id)) }

// endingKeys is a heap of keys by the end of their windows. Where all are equally
// long, as is usual, each is added at its end in O(1).
type endingKeys []*rememberedKey

// Len, Less, Swap, Push and Pop are those of heap.Interface.
func (h endingKeys) Len() int { return len(h) }

// Less tells whether one ends before another.
func (h endingKeys) Less(i, j int) bool { return h[i].ends < h[j].ends }

// Swap keeps each key's place right.
func (h endingKeys) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push adds a key at the end.
func (h *endingKeys) Push(x any) {
	k := x.(*rememberedKey)
	k.place = len(*h)
	*h = append(*h, k)
}

// Pop removes the last key. The memory follows the number of keys.
func (h *endingKeys) Pop() any {
	last := len(*h) - 1
	k := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	if cap(*h) > shrinkFloor && last < cap(*h)/8 {
		*h = slices.Clone(*h)
	}
	return k
}

// rememberedKeys are the dedup keys that a queue remembers. The queue's mu guards
// it.
type rememberedKeys struct {
	byKey  shrinkingMap[*rememberedKey]
	ending endingKeys
	last   uint64 // number
}

// any tells whether there are any.
func (r *rememberedKeys) any() bool { return len(r.ending) > 0 }

// find is the remembered key, or nil. Those that ended must be out.
func (r *rememberedKeys) find(key string) *rememberedKey { return r.byKey.get(key) }

// add remembers a key and the ID of its job until ends, and returns a number by
// which that job can free it.
func (r *rememberedKeys) add(key, id string, ends instant) (number uint64) {
	r.last++
	k := &rememberedKey{key: key, id: id, number: r.last, ends: ends}
	heap.Push(&r.ending, k)
	r.byKey.put(key, k)
	return r.last
}

// free forgets a key if the job with that number still holds it, and returns the
// bytes that became free. A job without a key has number 0.
func (r *rememberedKeys) free(key string, number uint64) int64 {
	if number == 0 {
		return 0
	}
	k := r.byKey.get(key)
	if k == nil || k.number != number {
		return 0
	}
	heap.Remove(&r.ending, k.place)
	r.byKey.remove(key)
	return k.size()
}

// forget forgets a key, whichever job holds it, and returns the bytes that became free.
func (r *rememberedKeys) forget(key string) int64 {
	k := r.byKey.get(key)
	if k == nil {
		return 0
	}
	return r.free(key, k.number)
}

// expire forgets what has ended, and returns the bytes that became free.
func (r *rememberedKeys) expire(now instant) int64 {
	var freed int64
	for r.any() && r.ending[0].ends <= now {
		k := heap.Pop(&r.ending).(*rememberedKey)
		r.byKey.remove(k.key)
		freed += k.size()
	}
	return freed
}

// clear forgets all, and returns the bytes that became free.
func (r *rememberedKeys) clear() int64 {
	var freed int64
	for _, k := range r.ending {
		freed += k.size()
	}
	*r = rememberedKeys{last: r.last}
	return freed
}
