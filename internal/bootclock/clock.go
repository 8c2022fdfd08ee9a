package bootclock

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strings"

	"github.com/batch-go/batch/internal/wire"
)

// ID names the clock of this machine, in printable ASCII without spaces: every process
// since it was started shares it, containers included, unless they are in a time
// namespace of their own. Where the system does not tell, it is this process's alone.
// What a clock of another name said means nothing here: clocks may differ by years.
var ID = func() string {
	if !IsShared {
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
