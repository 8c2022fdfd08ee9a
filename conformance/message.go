package conformance

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

// message makes a plain job that can be told from others.
func message(id string) *driver.Message {
	return &driver.Message{
		ID: id, Kind: kind, Body: []byte(`{"n":1}`), ContentType: "application/json",
		EnqueuedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
}

// messages makes n jobs, numbered from 0.
func messages(n int) []*driver.Message {
	all := make([]*driver.Message, n)
	for i := range all {
		all[i] = message(fmt.Sprintf("job-%d", i))
	}
	return all
}

// full is a message with every field at a bound that all drivers must carry.
func full(id string) *driver.Message {
	m := message(id)
	m.Kind = strings.Repeat("Az09._:/-", 15)[:128]
	m.ContentType = `application/x-conformance; a="b c"`
	m.Headers = map[string]string{"Trace-ID": "1", "trace-id": "2", "empty": "", "bytes": "\x00\xff\r\n\u00e9"}
	m.ExpiresAt = m.EnqueuedAt.Add(10 * 365 * 24 * time.Hour)
	m.MaxAttempts = 1000
	m.Timeout = 30*24*time.Hour - time.Millisecond
	return m
}

// sameMessage says in what a message differs from what was enqueued.
func sameMessage(got, want *driver.Message) error {
	var v findings
	differ := func(field string, got, want any) {
		if got != want {
			v.add("%s is %v, was %v", field, got, want)
		}
	}
	differ("ID", got.ID, want.ID)
	differ("Kind", got.Kind, want.Kind)
	differ("ContentType", got.ContentType, want.ContentType)
	if !bytes.Equal(got.Body, want.Body) {
		v.add("Body has %d bytes and differs from the %d bytes enqueued at byte %d", len(got.Body), len(want.Body), firstDifference(got.Body, want.Body))
	}
	switch {
	case !maps.Equal(got.Headers, want.Headers):
		v.add("%s", headersDiffer(got.Headers, want.Headers))
	case got.Headers != nil && len(got.Headers) == 0:
		v.add("Headers are empty and not nil, although there are none")
	}
	if !got.EnqueuedAt.Equal(want.EnqueuedAt) {
		v.add("EnqueuedAt is %s, was %s", got.EnqueuedAt, want.EnqueuedAt)
	}
	if !got.ExpiresAt.Equal(want.ExpiresAt) || got.ExpiresAt.IsZero() != want.ExpiresAt.IsZero() {
		v.add("ExpiresAt is %s, was %s", got.ExpiresAt, want.ExpiresAt)
	}
	for field, t := range map[string]time.Time{"EnqueuedAt": got.EnqueuedAt, "ExpiresAt": got.ExpiresAt} {
		if t.Location() != time.UTC {
			v.add("%s is in the zone %s, not in UTC", field, t.Location())
		}
	}
	differ("MaxAttempts", got.MaxAttempts, want.MaxAttempts)
	differ("Timeout", got.Timeout, want.Timeout)
	differ("Level", got.Level, want.Level)
	differ("Group", got.Group, want.Group)
	differ("DedupKey", got.DedupKey, want.DedupKey)
	differ("Delay", got.Delay, time.Duration(0))
	differ("DedupWithin", got.DedupWithin, time.Duration(0))
	return v.err("message " + want.ID + " changed on its way")
}

// firstDifference is the index of the first byte that differs.
func firstDifference[T string | []byte](a, b T) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// headersDiffer names the first header that differs, of those in order of their names, and
// says how many do.
func headersDiffer(got, want map[string]string) string {
	all := maps.Clone(want)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, got)
	n, first := 0, ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		is, there := got[name]
		was, enqueued := want[name]
		if there == enqueued && is == was {
			continue
		}
		if n++; n > 1 {
			continue
		}
		switch {
		case !there:
			first = fmt.Sprintf("%q is not there, was %s", name, abridged(was))
		case !enqueued:
			first = fmt.Sprintf("%q is %s, was not there", name, abridged(is))
		default:
			at := firstDifference(is, was)
			first = fmt.Sprintf("%q is %s, was %s: they differ at byte %d", name, abridged(is), abridged(was), at)
		}
	}
	return fmt.Sprintf("the headers are %d, were %d, and %d differ, the first: %s", len(got), len(want), n, first)
}

// abridged is the value of a header in a text that is not too long.
func abridged(value string) string {
	const most = 100
	if len(value) > most {
		return fmt.Sprintf("%q... (%d bytes)", value[:most], len(value))
	}
	return fmt.Sprintf("%q", value)
}

// withCapabilities sets the fields that the driver has as a capability.
func (s *stage) withCapabilities(d driver.Driver, m *driver.Message) {
	if _, ok := bare(d).(driver.Prioritizer); ok {
		m.Level = driver.Critical
	}
	if _, ok := bare(d).(driver.Deduplicator); ok {
		m.DedupKey = "key!~"
	}
	if _, ok := bare(d).(driver.Grouper); ok {
		m.Group = "group!~"
	}
}

// unique makes a message with a key.
func unique(id, key string) *driver.Message {
	m := message(id)
	m.DedupKey = key
	return m
}

// grouped makes a message of a group.
func grouped(id, group string) *driver.Message {
	m := message(id)
	m.Group = group
	return m
}

// level makes a message of a level.
func level(id string, l driver.Level) *driver.Message {
	m := message(id)
	m.Level = l
	return m
}

// delayed makes a message that is held back.
func delayed(id string, d time.Duration) *driver.Message {
	m := message(id)
	m.Delay = d
	return m
}
