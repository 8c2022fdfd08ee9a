package driver

import (
	"fmt"
	"strings"
)

// Level is a priority. Higher is handed out first; the zero value is Normal. As
// text, in JSON for example, it is its name in lower case.
type Level int8

// The five levels.
const (
	Trivial  Level = -2
	Low      Level = -1
	Normal   Level = 0
	High     Level = 1
	Critical Level = 2
)

// levelNames are the names of the levels, the lowest first.
var levelNames = [...]string{"trivial", "low", "normal", "high", "critical"}

// Valid tells whether l is one of the five levels.
func (l Level) Valid() bool { return l >= Trivial && l <= Critical }

// String is the level's name in lower case.
func (l Level) String() string {
	if !l.Valid() {
		return fmt.Sprintf("Level(%d)", int8(l))
	}
	return levelNames[l-Trivial]
}

// MarshalText is String. It fails if l is not one of the five levels.
func (l Level) MarshalText() ([]byte, error) {
	if !l.Valid() {
		return nil, fmt.Errorf("%w: %s is not a priority level", ErrConfig, l)
	}
	return []byte(l.String()), nil
}

// UnmarshalText is [ParseLevel].
func (l *Level) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLevel(string(text))
	return err
}

// ParseLevel returns the level with this name, in upper or lower case: "trivial",
// "low", "normal", "high" or "critical". Anything else is an error that wraps
// [ErrConfig].
func ParseLevel(name string) (Level, error) {
	for i, known := range levelNames {
		if strings.EqualFold(name, known) {
			return Trivial + Level(i), nil
		}
	}
	const most = 40
	if len(name) > most {
		name = name[:most] + "..."
	}
	return Normal, fmt.Errorf("%w: %q is not a priority level: want one of %s", ErrConfig, name, strings.Join(levelNames[:], ", "))
}
