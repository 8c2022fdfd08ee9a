package redis

import "testing"

// TestReader: no reply makes the reader read beyond its end.
func TestReader(t *testing.T) {
	whole := []byte("*4\r\n$3\r\nabc\r\n:5\r\n$-1\r\n*2\r\n$2\r\nid\r\n$0\r\n\r\n")
	for cut := range whole {
		r := reader{buf: whole[:cut]}
		r.array()
		_, _, _ = r.bytes(), r.int(), r.bytes()
		var j job
		j.read(&r, false)
		if r.err == nil {
			t.Errorf("a reply cut at %d was accepted", cut)
		}
	}
	r := reader{buf: whole}
	var j job
	if n, s, i, none := r.array(), r.string(), r.int(), r.bytes(); n != 4 || s != "abc" || i != 5 || none != nil {
		t.Error(n, s, i, none)
	}
	if j.read(&r, true); r.err != nil || !j.unreadable {
		t.Errorf("%+v, %v", j, r.err)
	}
	if got := string(encodeReply(nil, []any{"abc", int64(5), nil, []any{"id", ""}})); got != string(whole) {
		t.Errorf("encoded %q", got)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("*2\r\n:1\r\n:0\r\n"))
	f.Add([]byte("*4\r\n:-1\r\n:0\r\n:3\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$2\r\nid\r\n$1\r\nx\r\n"))
	f.Add([]byte("$-1\r\n"))
	f.Add([]byte("*99999999999\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		f := &fetcher{alarm: newAlarm(func() {})}
		f.readStreams(&reader{buf: raw}, new(fetched))
	})
}
