package redisstore

import "github.com/redis/go-redis/v9"

// A key has a hash with its token, and while it is in progress the name of the call that
// claimed it. To complete it removes that name, which a server does also when its memory is
// full: a job that was let in then gets its mark. The scripts' keys are that hash and the
// counter of tokens.
var (
	// beginScript claims the key for ARGV[1] ms by a call named ARGV[2]. It returns the
	// token, or "p" if the key is in progress, or "d" if it is done.
	beginScript = redis.NewScript(`
local kept = redis.call('HMGET', KEYS[1], 'token', 'call')
if kept[1] then
	if kept[2] == ARGV[2] then
		return kept[1]
	end
	return kept[2] and 'p' or 'd'
end
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('SET', KEYS[2], token)
redis.call('HSET', KEYS[1], 'token', token, 'call', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return token
`)
	// extendScript makes the claim with the token ARGV[1] end after ARGV[2] ms. It returns
	// "0" if the claim does not hold the key.
	extendScript = redis.NewScript(`
local kept = redis.call('HMGET', KEYS[1], 'token', 'call')
if kept[1] == ARGV[1] and kept[2] then
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
	return '1'
end
return '0'
`)
	// completeScript makes the key done for ARGV[2] ms if the claim with the token ARGV[1]
	// holds it. It returns "0" if that claim neither holds it nor has made it done.
	completeScript = redis.NewScript(`
local kept = redis.call('HMGET', KEYS[1], 'token', 'call')
if kept[1] ~= ARGV[1] then
	return '0'
end
if kept[2] then
	redis.call('HDEL', KEYS[1], 'call')
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return '1'
`)
	// abandonScript removes the key if the claim with the token ARGV[1] holds it.
	abandonScript = redis.NewScript(`
local kept = redis.call('HMGET', KEYS[1], 'token', 'call')
if kept[1] == ARGV[1] and kept[2] then
	redis.call('DEL', KEYS[1])
	return '1'
end
return '0'
`)
)
