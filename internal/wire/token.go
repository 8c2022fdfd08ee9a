// Package wire has what the stored forms of all drivers have in common.
package wire

import "time"

// maxToken is the longest ID, kind, key, group name or content type in bytes.
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

// IsMediaType tells whether s is 1 to 128 bytes of printable ASCII, as content types are.
func IsMediaType(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxToken
}

// MinTime and MaxTime bound times, in Unix ms: the years 1 to 9999, which are those that
// can be written as text everywhere. A time beyond them is a damaged one.
const MinTime, MaxTime = -62_135_596_800_000, 253_402_300_799_999

// Millis is d in whole milliseconds, rounded up: a delay must not be early.
func Millis(d time.Duration) int64 {
	ms := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}
