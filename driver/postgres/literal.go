package postgres

import (
	"encoding/hex"
	"reflect"
	"strconv"
	"strings"
)

// uuidText is a UUID as text.
func uuidText(id [16]byte) string {
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// quoted escapes what means something within the quotes of an element of an array:
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// element writes an element of an array: a text, a number, bytes, or a pointer to one of these.
func element(b *strings.Builder, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			b.WriteString("NULL")
			return
		}
		element(b, v.Elem())
	case reflect.String:
		b.WriteString(`"` + quoted.Replace(v.String()) + `"`)
	case reflect.Slice:
		b.WriteString(`"\\x` + hex.EncodeToString(v.Bytes()) + `"`)
	default:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	}
}
