package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed scripts/*.lua
var sources embed.FS

// script is a Lua script with the shared part in front of it.
type script struct {
	source, sha string
}

var (
	declareScript    = load("declare")
	deleteScript     = load("delete")
	depthScript      = load("depth")
	enqueueScript    = loadAlone("enqueue")
	enqueueAnyScript = load("enqueue_any")
	receiveScript    = load("receive")
	settleScript     = load("settle")
	extendScript     = load("extend")
	moveScript       = load("move")
	recoverScript    = load("recover")
	leaveScript      = load("leave")
	pokeScript       = load("poke")
	pauseScript      = load("pause")
	lettersScript    = load("letters")
	inspectScript    = load("inspect")
)

func load(name string) *script {
	lib, err := sources.ReadFile("scripts/lib.lua")
	if err != nil {
		panic("redis: " + err.Error())
	}
	own, err := sources.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic("redis: " + err.Error())
	}
	return compile(string(lib) + string(own))
}

// loadAlone is load without the shared part.
func loadAlone(name string) *script {
	own, err := sources.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic("redis: " + err.Error())
	}
	return compile(string(own))
}

func compile(source string) *script {
	sum := sha1.Sum([]byte(source))
	return &script{source: source, sha: hex.EncodeToString(sum[:])}
}

// args begins the arguments of a script: the command, the keys that all of them
// get and those of its own; room is for how many more will be appended.
func (s *script) args(k *keys, room int, own ...string) []any {
	args := make([]any, 0, 3+fixedKeys+len(own)+room)
	args = append(args, "evalsha", s.sha, fixedKeys+len(own))
	args = append(args, k.fixed[:]...)
	for i := range own {
		args = append(args, own[i])
	}
	return args
}

// eval runs a script and returns its reply, or the error that the server or the
// client library made of it. It ends when the reply is there or ctx ended; the
// command then goes on by itself until its own timeout.
func (d *Driver) eval(ctx context.Context, s *script, args []any) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, notSent{err}
	}
	if !d.enter() {
		return nil, goredis.ErrClosed
	}
	if ctx.Done() == nil {
		defer d.leave()
		return d.evalNow(s, args)
	}
	// The client library looks at ctx only between its steps: a server that
	// does not answer holds it up until its read timeout.
	type outcome struct {
		raw []byte
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		defer d.leave()
		raw, err := d.evalNow(s, args)
		done <- outcome{raw, err}
	}()
	select {
	case o := <-done:
		return o.raw, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// evalNow runs a script without regard to any context.
func (d *Driver) evalNow(s *script, args []any) ([]byte, error) {
	raw, err := d.process(args)
	if se, ok := err.(serverError); ok && strings.HasPrefix(string(se), "NOSCRIPT") {
		// The server was restarted or flushed its scripts: nothing ran.
		whole := append([]any(nil), args...)
		whole[0], whole[1] = "eval", s.source
		return d.process(whole)
	}
	return raw, err
}

// process sends one command, once.
func (d *Driver) process(args []any) ([]byte, error) {
	ctx := context.Background()
	cmd := once{goredis.NewRawCmd(ctx, args...)}
	if err := d.client.Process(ctx, cmd); err != nil {
		return nil, err
	}
	raw := cmd.Val()
	err := errorOf(raw)
	if err == nil {
		return raw, nil
	}
	if !misdirected(err.(serverError)) {
		return nil, err
	}
	// The command went to a server that did not run it. The client library
	// follows redirections, and drops connections to a former primary, only if
	// it reads the error itself, which it does not in raw replies.
	parsed := onceParsed{goredis.NewCmd(ctx, args...)}
	if err := d.client.Process(ctx, parsed); err != nil && err != goredis.Nil {
		if re, ok := err.(goredis.Error); ok {
			return nil, serverError(re.Error())
		}
		return nil, err
	}
	return encode(nil, parsed.Val()), nil
}

// transact sends commands as one MULTI, once, and returns the reply of each,
// errors of single ones among them. A redis.Error says that none ran.
func (d *Driver) transact(commands ...[]any) ([][]byte, error) {
	return d.send(d.client.TxPipeline(), commands)
}

// pipeline sends commands one behind the other on one connection, once, and
// returns the reply of each, errors of single ones among them.
func (d *Driver) pipeline(commands ...[]any) ([][]byte, error) {
	return d.send(d.client.Pipeline(), commands)
}

func (d *Driver) send(pipe goredis.Pipeliner, commands [][]any) ([][]byte, error) {
	if !d.enter() {
		return nil, goredis.ErrClosed
	}
	defer d.leave()
	ctx := context.Background()
	sent := make([]once, len(commands))
	for i, args := range commands {
		sent[i] = once{goredis.NewRawCmd(ctx, args...)}
		_ = pipe.Process(ctx, sent[i])
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	replies := make([][]byte, len(sent))
	for i := range sent {
		replies[i] = sent[i].Val()
	}
	return replies, nil
}

// once is a command that the client library never sends a second time, whatever
// its options: sent twice, an enqueue stores its jobs twice.
type once struct{ *goredis.RawCmd }

// NoRetry says so.
func (once) NoRetry() bool { return true }

// onceParsed is once with a parsed reply.
type onceParsed struct{ *goredis.Cmd }

// NoRetry says so.
func (onceParsed) NoRetry() bool { return true }

// misdirected tells errors that say that another server would have run the
// command: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
// for the first two; a former primary after a failover answers READONLY.
func misdirected(err serverError) bool {
	for _, prefix := range [...]string{"MOVED ", "ASK ", "READONLY "} {
		if strings.HasPrefix(string(err), prefix) {
			return true
		}
	}
	return false
}
