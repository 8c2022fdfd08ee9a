package redis

import (
	"crypto/sha1"
	"embed"
	"encoding/hex"
)

// sources are the Lua scripts.
//
//go:embed scripts/*.lua
var sources embed.FS

// script is a Lua script, with the shared parts in front of it. What mostly needs nothing of the
// larger one, and is to cost little, may come before that.
type script struct {
	source, sha string
}

// The scripts by the names of their files.
var (
	declareScript     = load("base", "lib", "declare")
	deleteScript      = load("base", "lib", "delete")
	depthScript       = load("base", "lib", "depth")
	enqueueScript     = load("enqueue")
	retractScript     = load("retract")
	enqueueAnyScript  = load("base", "lib", "enqueue_any")
	importScript      = load("base", "lib", "import")
	forgetScript      = load("base", "forget")
	receiveScript     = load("base", "receive", "lib", "due")
	settleScript      = load("base", "done", "lib", "settle")
	extendScript      = load("base", "extend")
	moveScript        = load("base", "lib", "move")
	recoverScript     = load("base", "lib", "recover")
	sweepScript       = load("sweep")
	unblockScript     = load("base", "unblock")
	passScript        = load("base", "pass")
	closeScript       = load("base", "lib", "close")
	pauseScript       = load("base", "pause")
	deadLettersScript = load("base", "lib", "deadletters")
	inspectScript     = load("base", "lib", "inspect")
	purgeScript       = load("base", "lib", "purge")
)

// load makes one script of files.
func load(names ...string) *script {
	var source []byte
	for _, name := range names {
		text, err := sources.ReadFile("scripts/" + name + ".lua")
		if err != nil {
			panic("redis: " + err.Error())
		}
		source = append(source, text...)
	}
	sum := sha1.Sum(source)
	return &script{source: string(source), sha: hex.EncodeToString(sum[:])}
}

// args begins the arguments of a script: the command, the keys that all scripts
// get, and those of its own. extra is how many more will be appended.
func (s *script) args(n *names, extra int, own ...string) []any {
	args := make([]any, 0, 3+sharedCount+len(own)+extra)
	args = append(args, "evalsha", s.sha, sharedCount+len(own))
	args = append(args, n.shared[:]...)
	for i := range own {
		args = append(args, own[i])
	}
	return args
}
