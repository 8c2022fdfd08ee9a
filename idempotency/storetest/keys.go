package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/batch-go/batch/idempotency"
)

func keys(p *probe) {
	list := []string{"k", "K", "k ", " k", "k\x00", "\xff\xfe", "k/1", "k:1", "k*", "'; --", "\r\n", "\u00e9", "e\u0301", "{k}", strings.Repeat("k", 200)}
	for b := range 256 {
		list = append(list, "/"+string([]byte{byte(b)}))
	}
	claims := make(map[string]idempotency.Claim)
	for _, key := range list {
		claims[key] = p.begin(key, long, idempotency.Fresh)
	}
	for i, key := range list {
		if i%2 == 0 {
			p.is(p.store.Complete(p.Context(), claims[key], long), nil, "Complete")
		}
	}
	for i, key := range list {
		want := idempotency.InProgress
		if i%2 == 0 {
			want = idempotency.Done
		}
		p.begin(key, long, want)
	}
}

func longKeys(p *probe) {
	claims := make(map[string]idempotency.Claim)
	// Around what indexes and columns hold, and what two bytes count.
	for _, n := range []int{254, 255, 256, 257, 767, 1024, 3072, 70_000} {
		stem := strings.Repeat("k", n-len(p.prefix)-1)
		for _, end := range []string{"a", "b"} {
			claims[stem+end] = p.begin(stem+end, long, idempotency.Fresh)
		}
	}
	for key, claim := range claims {
		if strings.HasSuffix(key, "a") {
			p.is(p.store.Complete(p.Context(), claim, long), nil, fmt.Sprintf("Complete of a key of %d bytes", len(claim.Key)))
		}
	}
	for key, claim := range claims {
		want := idempotency.InProgress
		if strings.HasSuffix(key, "a") {
			want = idempotency.Done
		}
		p.begin(key, long, want)
		if want == idempotency.InProgress {
			p.is(p.store.Extend(p.Context(), claim, long), nil, "Extend")
			p.is(p.store.Abandon(p.Context(), claim), nil, "Abandon")
			p.begin(key, long, idempotency.Fresh)
		}
	}
}

func empty(p *probe) {
	claim, state, err := p.store.Begin(p.Context(), "", long)
	if err == nil {
		p.Fatalf("the empty key is %s, with the claim %+v, want an error", state, claim)
	}
}

func spans(p *probe) {
	const day = 24 * time.Hour
	claim := p.begin("k", day, idempotency.Fresh)
	p.is(p.store.Extend(p.Context(), claim, day), nil, "Extend for a day")
	p.begin("k", day, idempotency.InProgress)
	p.is(p.store.Complete(p.Context(), claim, 10*365*day), nil, "Complete for ten years")
	p.begin("k", day, idempotency.Done)
}
