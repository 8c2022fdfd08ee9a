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

// literals makes each of some parameters a literal.
func literals(args []any) []any {
	for i, arg := range args {
		args[i] = literal(arg)
	}
	return args
}

// literal is a parameter as any package for database/sql passes it on: arrays in the form of the
// database.
func literal(arg any) any {
	switch v := arg.(type) {
	case [16]byte:
		return uuidText(v)
	case string, bool:
		return v
	}
	column := reflect.ValueOf(arg)
	if column.IsNil() {
		return nil
	}
	var b strings.Builder
	b.WriteByte('{')
	for i := range column.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		element(&b, column.Index(i))
	}
	b.WriteByte('}')
	return b.String()
}

// quoted escapes what means something within the quotes of an element of an array:
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// element writes an element of an array: a text, a number, bytes, or a pointer to one of these, which is empty
// if it is nil.
func element(b *strings.Builder, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			b.WriteString(`""`)
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
