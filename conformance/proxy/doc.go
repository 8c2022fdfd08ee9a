// Package proxy is a way to a broker on TCP that can be disturbed: connections are
// cut, reset, held back, delayed, refused or forgotten, and the n-th call of a client
// can be the last that gets through.
//
// Package conformance puts one before each handle that it disturbs. The tests of a
// driver can do the same:
//
//	p, err := proxy.Listen("localhost:6379")
//	d, err := redis.Open(ctx, "redis://"+p.Addr())
//	p.Hold(proxy.Both) // a black hole, without a reset
//
// Bytes pass as they are, so TLS does too. It runs in the process of the test and
// has no dependencies: a general proxy would be a dependency of each driver's tests,
// and has no notion of a client's n-th call, which is what a test needs that wants to
// fail every one of them in turn.
package proxy
