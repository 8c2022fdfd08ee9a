package postgres

import (
	"bytes"
	"reflect"
	"testing"
)

// TestLiteral: what literal writes is what the server reads, whatever is in it.
func TestLiteral(t *testing.T) {
	t.Parallel()
	conn := connect(t, plainURL(t))
	texts := []string{"", " ", `"`, `\`, `\"`, `{a,b}`, "NULL", "null", ",", "'", "a\nb\t", "é世\U0001f600", `\x00`}
	var got []string
	if err := conn.QueryRow(testContext(t), `SELECT $1::text::text[]`, literal(texts)).Scan(&got); err != nil || !reflect.DeepEqual(got, texts) {
		t.Errorf("texts: %q, %v", got, err)
	}
	pointers := []*string{nil, &texts[2], nil, &texts[1], &texts[6]}
	var read []*string
	if err := conn.QueryRow(testContext(t), `SELECT array_replace($1::text::text[], '', NULL)`, literal(pointers)).Scan(&read); err != nil || !reflect.DeepEqual(read, pointers) {
		t.Errorf("pointers: %v, %v", read, err)
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	bodies := [][]byte{{}, {0}, all, []byte(`\x"`)}
	var bytesRead [][]byte
	err := conn.QueryRow(testContext(t), `SELECT $1::text::bytea[]`, literal(bodies)).Scan(&bytesRead)
	if err != nil || !reflect.DeepEqual(len(bytesRead), len(bodies)) {
		t.Fatalf("bytes: %q, %v", bytesRead, err)
	}
	for i := range bodies {
		if !bytes.Equal(bytesRead[i], bodies[i]) {
			t.Errorf("bytes %d: %q", i, bytesRead[i])
		}
	}
	numbers := []int64{0, -1, 1 << 62, -1 << 63}
	var numbersRead []int64
	if err := conn.QueryRow(testContext(t), `SELECT $1::text::bigint[]`, literal(numbers)).Scan(&numbersRead); err != nil || !reflect.DeepEqual(numbersRead, numbers) {
		t.Errorf("numbers: %v, %v", numbersRead, err)
	}
	for arg, want := range map[any]any{true: true, "x": "x", [16]byte{0xab, 15: 1}: "ab000000-0000-0000-0000-000000000001"} {
		if got := literal(arg); got != want {
			t.Errorf("%v is %v", arg, got)
		}
	}
	if got := literal([]*int64(nil)); got != nil {
		t.Errorf("a column of which none is set is %v", got)
	}
	if got := literal([]string{}); got != "{}" {
		t.Errorf("an empty column is %v", got)
	}
}
