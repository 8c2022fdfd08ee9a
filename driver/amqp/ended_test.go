package amqp

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// TestTapKeepsTheLibraryOffEndedChannels: the library sends requests, and the answer to the end of
// a subscription, behind the end of a channel that comes just then. It may answer the broker's end
// of the channel, and open it anew.
func TestTapKeepsTheLibraryOffEndedChannels(t *testing.T) {
	const qos, cancel, cancelOk = 60<<16 | 10, 60<<16 | 30, 60<<16 | 31
	for _, end := range []uint32{channelClose, channelCloseOk} {
		on := &said{}
		p := newTap(on)
		var want []byte
		for _, m := range []struct {
			channel uint16
			method  uint32
			written bool
		}{
			{4, channelOpen, true}, {4, qos, true}, {4, end, true},
			{4, qos, false}, {4, cancel, false}, {4, cancelOk, false}, {4, basicAck, false}, {4, channelClose, false},
			{5, qos, true}, {0, 10<<16 | 50, true}, {4, channelCloseOk, true}, {4, qos, false},
			{4, channelOpen, true}, {4, qos, true},
		} {
			frame := method(m.channel, m.method, 0)
			if n, err := p.Write(frame); n != len(frame) || err != nil {
				t.Errorf("%d bytes of %d, %v", n, len(frame), err)
			}
			if m.written {
				want = append(want, frame...)
			}
			if !bytes.Equal(on.written.Bytes(), want) {
				t.Fatalf("behind %d.%d, %d.%d on channel %d: written is not %t", end>>16, end&0xFFFF, m.method>>16, m.method&0xFFFF, m.channel, m.written)
			}
		}
	}
}

// TestLateOnEndedChannels: what the broker still sends on a channel that has ended does not get
// through to the library, which would end the connection. What is about the end does.
func TestLateOnEndedChannels(t *testing.T) {
	const qosOk = 60<<16 | 11
	delivery := method(3, basicDeliver, append([]byte{7}, "batch-9\x00\x00\x00\x00\x00\x00\x00\x09\x01\x00\x00"...)...)
	late := [][]byte{method(3, qosOk), ack(3, basicAck, 1, 0), delivery}
	about := [][]byte{method(3, channelClose), method(3, channelCloseOk), method(4, qosOk)}
	for _, end := range []uint32{channelClose, channelCloseOk} {
		for _, again := range []bool{false, true} {
			on := &said{from: bytes.NewReader(bytes.Join(append(late, about...), nil)), step: 1 << 16}
			p := newTap(on)
			p.passed = time.Since(epoch) + time.Hour // no sign of life
			_, _ = p.Write(method(3, channelOpen, 0))
			_, _ = p.Write(method(3, end))
			want := about
			if again {
				_, _ = p.Write(method(3, channelOpen, 0))
				want = append(append([][]byte(nil), late...), about...)
			}
			through, err := io.ReadAll(p)
			if err != nil || !bytes.Equal(through, bytes.Join(want, nil)) {
				t.Errorf("behind %d.%d, opened again %t: % x gets through, %v", end>>16, end&0xFFFF, again, through, err)
			}
		}
	}
}
