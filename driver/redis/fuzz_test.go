package redis

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// replySeeds are replies, good ones and such as no server should make.
var replySeeds = []string{
	"*0\r\n", "$-1\r\n", "*-1\r\n", ":1\r\n", "+OK\r\n", "-ERR no\r\n", "_\r\n", "%1\r\n+a\r\n:1\r\n",
	"*4\r\n:-1\r\n:0\r\n:3\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*4\r\n$3\r\njob\r\n$5\r\na k 1\r\n$4\r\nbody\r\n$2\r\n{}\r\n",
	"*4\r\n:-1\r\n:0\r\n:18\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*4\r\n$3\r\njob\r\n$5\r\na k 1\r\n$1\r\nf\r\n$19\r\n9223372036854775807\r\n",
	"*2\r\n$0\r\n\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$3\r\njob\r\n$8\r\na\nb k 1\n\r\n",
	"*2\r\n:-2\r\n+WRONGTYPE no\r\n", "*1\r\n:9223372036854775807\r\n", "*2\r\n:1\r\n$1\r\na\r\n",
	"*9223372036854775807\r\n", "%9223372036854775807\r\n", "%4611686018427387904\r\n", "$9223372036854775807\r\n", "*2147483647\r\n:1\r\n", "$9223372036854775805\r\nx",
	"*1\r\n$5\r\nab", "\r\n", "*", "*1", "*x\r\n",
}

// FuzzReplies: whatever a server answers, no reader of replies panics, reserves memory for
// what is not there, or believes a number that cannot be.
func FuzzReplies(f *testing.F) {
	for _, s := range replySeeds {
		f.Add([]byte(s))
	}
	h := newHolder(nil, "q", newNames("q"), time.Minute)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := reader{buf: raw}
		if n := r.array(); n < 0 || n > 2*len(raw) {
			t.Errorf("an array of %d in %d bytes", n, len(raw))
		}
		fe := &fetcher{holder: h, alarm: newAlarm(func() {})}
		got, err := fe.read(reply{text: raw}, batchSize)
		for _, d := range got.jobs {
			checkJob(t, &d.Message)
			if d.Deliveries < 1 || d.Failures < 0 || d.Redeliveries < 0 || d.Bounces < 0 || err != nil {
				t.Errorf("received %+v, %v", d, err)
			}
		}
		r = reader{buf: raw}
		if r.oneStream() {
			new(fetched).readEntries(&r, 1)
		}
		for _, place := range []int{1, placeBehind, placeDue, placeDead, 16} {
			found, _, _ := readStep(raw, place)
			for _, e := range found {
				if !e.unreadable && !wire.IsToken(e.ID) || e.due.Year() > 9999 {
					t.Errorf("listed %+v", e)
				}
			}
		}
		if errs, err := h.addRefused(nil, 3, "settle", raw, []int{0, 1, 2}); len(errs) > 3 {
			t.Errorf("%d errors for 3 deliveries, %v", len(errs), err)
		}
		if dups, err := readDuplicates(raw, 3); len(dups) > 3 {
			t.Errorf("%d duplicates of 3 jobs, %v", len(dups), err)
		}
		_ = errorOf(raw)
	})
}

// checkJob checks what the core relies on.
func checkJob(t *testing.T, m *driver.Message) {
	t.Helper()
	if !wire.IsToken(m.ID) || !wire.IsToken(m.Kind) || m.MaxAttempts < 0 || m.Timeout < 0 || m.Timeout > maxTimeout ||
		!m.Level.Valid() || m.EnqueuedAt.Year() < 1 || m.EnqueuedAt.Year() > 9999 || m.ExpiresAt.Year() > 9999 ||
		len(m.ContentType) > 128 || m.Group != "" && !wire.IsToken(m.Group) || m.DedupKey != "" && !wire.IsToken(m.DedupKey) {
		t.Errorf("it is read as a job: %+v", m)
	}
}

// FuzzEntry: a field of an entry is a value within its bounds, or the entry is unreadable.
func FuzzEntry(f *testing.F) {
	for _, name := range []string{
		fieldJob, fieldBody, fieldContentType, fieldExpiresAt, fieldMaxAttempts, fieldTimeout, fieldLevel, fieldGroup, fieldDedupKey,
		fieldFailures, fieldLastError, fieldDeliveries, fieldRedeliveries, fieldBounces, fieldBouncedSince, fieldReason, fieldDiedAt, headerPrefix + "x",
	} {
		for _, value := range []string{"", "1", "-1", "9223372036854775807", "1e308", "nan", "a b 9223372036854775807", "a\nb k 1", "a k 1", "\xff", strings.Repeat("x", 5000)} {
			f.Add(name, []byte(value))
		}
	}
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		reply := encodeReply(nil, []any{fieldJob, "a k 1", fieldBody, "{}", name, string(value)})
		for _, copied := range []bool{false, true} {
			var j job
			r := reader{buf: reply}
			if j.read(&r, copied); r.err != nil {
				t.Fatal(r.err)
			}
			if !j.unreadable {
				checkJob(t, &j.Message)
			}
			if len(j.lastError) > maxError || len(j.reason) > maxReason || j.failures < 0 || j.failures > maxCount || j.diedAt.Year() > 9999 {
				t.Errorf("it is read as %+v", j)
			}
		}
	})
}

// FuzzURL: no URL panics, and no error repeats the password.
func FuzzURL(f *testing.F) {
	for _, password := range []string{"", "hunter-two", "hun/ter", "hun?ter", "hun#ter", "hun%zzter", "hun@ter", "hun:ter", "hun ter", "hun\x00ter", "[hunter", "hun&ter=1"} {
		for _, scheme := range schemes {
			f.Add(scheme, password, "host:6379/0", "timeout=1s")
			f.Add(scheme, password, "host:port", "master=m&sentinel_password=hunter-two")
			f.Add(scheme, password, "[::1", "addr=x:y&unknown=1")
		}
	}
	f.Fuzz(func(t *testing.T, scheme, password, host, query string) {
		const secret = "s3cr3t-"
		address := scheme + "://user:" + secret + password + "@" + host + "?" + query
		u, err := driver.ParseURL(Name, address)
		if err == nil {
			_, err = parseURL(u)
		}
		if err != nil && !strings.Contains(scheme+host+query, secret) && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: the error has the password: %v", address, err)
		}
	})
}

// FuzzNames: every queue has keys of its own, from which its name can be told.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"mail", "a{b}c", "100%", "%7B", "{}", "a:b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, queue string) {
		if queue != "" {
			key := newNames(queue).prefix + metaName
			if got, ok := queueOfMeta(key); !ok || got != queue {
				t.Errorf("the queue of %q is %q, %t", key, got, ok)
			}
			if tag := key[len(keyStart):strings.LastIndex(key, tagEnd)]; strings.ContainsAny(tag, "{}") {
				t.Errorf("the hash tag of %q ends early", key)
			}
		}
		if got, ok := queueOfMeta(queue); ok && newNames(got).prefix+metaName != queue {
			t.Errorf("%q is no key of queue %q", queue, got)
		}
	})
}

// FuzzInfo: whatever a server tells of itself, it is fit or refused.
func FuzzInfo(f *testing.F) {
	f.Add(string(infoReply()))
	f.Add("redis_version:8\r\nmaxmemory:x\nvalkey_version:9.1\nserver_name:valkey")
	f.Add("redis_version:99999999999999999999.1\r\nredis_mode:cluster")
	f.Fuzz(func(t *testing.T, info string) {
		s := describe(info)
		if err := s.check(false, Options{}); err != nil && !utf8.ValidString(info) {
			_ = err.Error()
		}
	})
}
