package memory

import (
	"strconv"
	"testing"
)

func TestShrinkingMapShrinks(t *testing.T) {
	var x shrinkingMap[int]
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
		x.put(keys[i], i)
	}
	for i, k := range keys[:len(keys)-5] {
		if x.get(k) != i {
			t.Fatalf("key %d has value %d", i, x.get(k))
		}
		x.remove(k)
	}
	if x.peak > shrinkFloor || len(x.entries) != 5 {
		t.Fatalf("5 entries, got %d at a peak of %d", len(x.entries), x.peak)
	}
}
