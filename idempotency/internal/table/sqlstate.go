package table

import "strings"

// NoTable is the SQLSTATE of a table or sequence that does not exist.
const NoTable = "42P01"

// Passes tells whether a SQLSTATE is of a transaction that was undone because of
// others: a serialization failure, a deadlock, or a lock that was not to be had in time.
func Passes(code string) bool { return code == "40001" || code == "40P01" || code == "55P03" }

// IsFull tells whether a SQLSTATE says that there is no room: on the disk, or in memory.
func IsFull(code string) bool { return strings.HasPrefix(code, "53") && code != "53300" }
