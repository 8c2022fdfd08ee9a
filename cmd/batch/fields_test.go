package main

import (
	"reflect"
	"strings"
)

// jsonFields are the names under which the fields of records are printed.
func jsonFields(records ...any) []string {
	var names []string
	for _, r := range records {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(r)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}
