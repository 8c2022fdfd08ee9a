// Package fifo has a queue in memory.
package fifo

// Queue is first in, first out. It reuses its memory, and does not grow while no more is in it
// than before. The zero value is empty.
type Queue[T any] struct {
	items []T
	head  int
}

// Len is how many items are in it.
func (q *Queue[T]) Len() int { return len(q.items) - q.head }

// Push adds an item at the end.
func (q *Queue[T]) Push(item T) { q.items = append(q.items, item) }

// At is where the item i stands, with 0 for the first, until the next Push or Pop.
func (q *Queue[T]) At(i int) *T { return &q.items[q.head:][i] }

// Pop takes out the first item. There must be one.
func (q *Queue[T]) Pop() T {
	item := q.items[q.head]
	var none T
	q.items[q.head] = none
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head > len(q.items)/2:
		// Moving the rest down when it is the smaller half keeps the slice from growing
		// without end under constant load, at O(1) for each item.
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return item
}
