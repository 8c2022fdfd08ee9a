package table

import "math/rand/v2"

// graceText is for how long a row stays after it has expired, in the words of SQL. A
// first claim whose token was taken must have its row within that time.
const graceText = "1 hour"

const (
	// CleanSome is how many rows a Begin deletes whose turn it is. As that is one in
	// cleanEvery, four times as many go as can come, so that the table does not grow
	// without bound, and a Begin is not slow.
	CleanSome = 256
	// CleanMany is how many rows a statement of Sweep deletes.
	CleanMany  = 1000
	cleanEvery = 64
)

// CleansNow tells whether it is the turn of a Begin to clean. It is by chance, which
// needs no state: processes that begin few keys take their share too.
func CleansNow() bool { return rand.N(cleanEvery) == 0 }
