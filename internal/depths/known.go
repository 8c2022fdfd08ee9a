package depths

import "time"

// Known is a count as JSON has it: nil, and so null, if it is unknown.
func Known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

// KnownAge is an age in seconds, in the same way.
func KnownAge(age time.Duration) *float64 {
	if age < 0 {
		return nil
	}
	seconds := age.Seconds()
	return &seconds
}
