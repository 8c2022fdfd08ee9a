// Package wire has what the stored forms of all drivers have in common.
package wire

import "time"

// maxToken is the longest ID, kind, key or group name in bytes.
const maxToken = 128

// IsToken tells whether s is 1 to 128 bytes of printable ASCII without spaces,
// as IDs, kinds, dedup keys and group names are.
func IsToken(s string) bool {
	if len(s) == 0 || len(s) > maxToken {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Millis is d in whole milliseconds, rounded up: a delay must not be early.
func Millis(d time.Duration) int64 {
	ms := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}
