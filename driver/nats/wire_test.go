package nats

import (
	"testing"

	natsgo "github.com/nats-io/nats.go"
)

func TestHeadersCarryAnyBytes(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, v := range []string{"", "plain", "with spaces inside", " leading", "trailing ", "=?mark", "a\r\nb", string(every), "é"} {
		got, ok := decode(encode(v))
		if !ok || got != v {
			t.Errorf("%q became %q, %v", v, got, ok)
		}
	}
	if _, ok := decode("=?not base64!"); ok {
		t.Error("nonsense was decoded")
	}
}

func TestReadRefusesWhatIsNoJob(t *testing.T) {
	good := natsgo.Header{headerID: {"id"}, headerKind: {"kind"}, headerAt: {"1760000000000"}}
	var j job
	if !j.read(good, nil) || j.ContentType != defaultType {
		t.Fatalf("a job was not read: %+v", j)
	}
	for name, value := range map[string]string{
		headerID: "a b", headerKind: "", headerAt: "soon", headerExpires: "-", headerAttempts: "-1", headerTimeout: "x",
		headerFailures: "99999999999", headerDeliveries: "1.5", headerLost: "", headerDied: "1e3", headerError: "=?%", headerOwn + "x": "=?%", headerType: "=?%",
	} {
		h := natsgo.Header{}
		for k, v := range good {
			h[k] = v
		}
		h[name] = []string{value}
		if new(job).read(h, nil) {
			t.Errorf("%s: %q was read as a job", name, value)
		}
	}
	if new(job).read(nil, []byte("body")) {
		t.Error("a message without headers was read as a job")
	}
}
