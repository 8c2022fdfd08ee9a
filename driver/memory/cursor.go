package memory

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/batch-go/batch/driver"
)

// cursor is the position of the last job of a page: its line and its order in
// it. Jobs that were added or removed since leave it valid.
type cursor struct {
	rank  int // of waiting jobs
	at    instant
	place uint64
}

func cursorOf(j *job) cursor { return cursor{rank: j.rank(), at: j.at, place: j.place} }

// String is the cursor as the caller carries it, for lists in that state.
func (c cursor) text(state driver.State) string {
	return fmt.Sprintf("%s.%d.%d.%d", state, c.rank, c.at, c.place)
}

// parseCursor reads what text wrote; empty is the position before everything.
func parseCursor(op, queue string, state driver.State, text string) (cursor, error) {
	if text == "" {
		return cursor{}, nil
	}
	parts := strings.Split(text, ".")
	if len(parts) == 4 && parts[0] == state.String() {
		rank, err1 := strconv.ParseUint(parts[1], 10, 8)
		at, err2 := strconv.ParseUint(parts[2], 10, 63)
		place, err3 := strconv.ParseUint(parts[3], 10, 64)
		if err1 == nil && err2 == nil && err3 == nil && rank < levels {
			return cursor{rank: int(rank), at: instant(at), place: place}, nil
		}
	}
	return cursor{}, refuse(op, queue, driver.ErrConfig, fmt.Errorf("%q is not a cursor of such a list", text), "")
}

// checkPage is nil, or an error if max is out of its bounds.
func checkPage(op, queue string, max int) error {
	if max < 1 || max > 1000 {
		return refuse(op, queue, driver.ErrConfig, fmt.Errorf("max is %d, which is not from 1 to 1000", max), "")
	}
	return nil
}
