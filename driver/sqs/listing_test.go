package sqs

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch/driver"
)

// Two who page through the dead letters of one queue at a time both come to the end.
func TestListingsBesideEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		const letters = chunkLetters + 500
		bury(t, d, letters, 10)
		var cursors [2]string
		var shown [2]map[string]bool
		for i := range shown {
			shown[i] = make(map[string]bool)
		}
		for first := true; first || cursors[0] != "" || cursors[1] != ""; first = false {
			for i := range cursors {
				if !first && cursors[i] == "" {
					continue
				}
				page, next, err := d.DeadLetters(t.Context(), "q", cursors[i], 400)
				if err != nil {
					t.Fatalf("listing %d: %v", i, err)
				}
				for _, letter := range page {
					shown[i][letter.ID] = true
				}
				cursors[i] = next
			}
		}
		for i := range shown {
			if len(shown[i]) != letters {
				t.Errorf("listing %d had %d letters of %d", i, len(shown[i]), letters)
			}
		}
		if d.listings.size != 0 || len(d.listings.kept) != 0 {
			t.Errorf("%d bytes of %d listings are kept", d.listings.size, len(d.listings.kept))
		}
	})
}

// However many queues are looked at, what is kept of them is bounded, and one that is
// being paged through stays.
func TestListingsAreBounded(t *testing.T) {
	var ls listings
	defer ls.drop(func(*listing) bool { return true })
	chunk := func(queue string) *listing {
		return newListing(queue).next([]deadLetter{{DeadLetter: driver.DeadLetter{}}}, chunkBytes, map[string]bool{"id": true}, false)
	}
	paged := chunk("paged")
	ls.keep(paged)
	ls.find("paged", paged.id)
	for i := range 1000 {
		l := chunk(fmt.Sprint(i))
		ls.keep(l)
		if ls.find(l.queue, l.id) != l {
			t.Fatal("the last one was forgotten")
		}
		l.continued = false // it was only looked at
		if ls.size > maxListed {
			t.Fatalf("%d bytes are kept after %d queues", ls.size, i+1)
		}
	}
	if ls.find("paged", paged.id) != paged {
		t.Error("a listing that was continued was forgotten for others that were not")
	}
	if ls.find("other", paged.id) != nil {
		t.Error("the listing of another queue was found")
	}
}
