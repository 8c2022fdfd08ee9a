package main

import (
	"bufio"
	"strings"
	"testing"
)

func TestReadReply(t *testing.T) {
	tests := []struct{ name, wire, want, wantErr string }{
		{"status", "+PONG\r\n", "PONG", ""},
		{"integer", ":42\r\n", "42", ""},
		{"bulk", "$5\r\na\r\nbc\r\n", "a\r\nbc", ""},
		{"null", "$-1\r\n", "", ""},
		{"array", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "a\nb", ""},
		{"loading is not ready", "-LOADING Redis is loading\r\n", "", "LOADING Redis is loading"},
		{"cut off", "$5\r\nab", "", "unexpected EOF"},
		{"not the protocol", "HTTP/1.1 400\r\n", "", `reply of unknown kind: "HTTP/1.1 400"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := readReply(bufio.NewReader(strings.NewReader(test.wire)))
			text := ""
			if err != nil {
				text = err.Error()
			}
			if got != test.want || text != test.wantErr {
				t.Errorf("got %q and error %q, want %q and %q", got, text, test.want, test.wantErr)
			}
		})
	}
}
