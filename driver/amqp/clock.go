package amqp

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strings"

	"github.com/batch-go/batch/internal/wire"
)

// Jobs carry the time when they are due by the clock of the process that stored them
// last, and it is taken for that only on the same clock. Elsewhere clocks may differ
// by hours, and the duration that is left after the delay queue is what counts, though
// it does not know how long the job lay in the hop queue.
//
// The clock is the one that counts since the machine was started: nobody sets it, so
// that a delay is neither early nor late when the time of day is corrected.

// clockID names the clock of this machine: every process since it was started shares
// it, containers included, unless they are in a time namespace of their own.
var clockID = func() string {
	if !startIsShared {
		return randomID()
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return randomID()
	}
	space, _ := os.Readlink("/proc/self/ns/time") // "" on a kernel without such
	if id := strings.TrimSpace(string(boot)) + "/boot/" + space; wire.IsToken(id) {
		return id
	}
	return randomID()
}()

// randomID is the name of a clock that this process shares with no other.
func randomID() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // cannot fail
	return hex.EncodeToString(random)
}
