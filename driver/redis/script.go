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

// script is a Lua script, with the shared part in front of it.
type script struct {
	source, sha string
}

// The scripts by the names of their files.
var (
	declareScript     = load("lib", "declare")
	deleteScript      = load("lib", "delete")
	depthScript       = load("lib", "depth")
	enqueueScript     = load("enqueue")
	retractScript     = load("retract")
	enqueueAnyScript  = load("lib", "enqueue_any")
	importScript      = load("lib", "import")
	receiveScript     = load("lib", "receive")
	settleScript      = load("lib", "settle")
	extendScript      = load("lib", "extend")
	moveScript        = load("lib", "move")
	recoverScript     = load("lib", "recover")
	sweepScript       = load("sweep")
	unblockScript     = load("lib", "unblock")
	passScript        = load("lib", "pass")
	closeScript       = load("lib", "close")
	pauseScript       = load("lib", "pause")
	deadLettersScript = load("lib", "deadletters")
	inspectScript     = load("lib", "inspect")
	purgeScript       = load("lib", "purge")
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
