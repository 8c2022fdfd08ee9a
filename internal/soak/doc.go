// Package soak puts drivers under load on real brokers, disturbs everything around
// them, and judges what came of it.
//
// Producers and workers are processes of their own, so that they can be killed and
// stopped as such, and reach the broker through a proxy that can cut, delay and
// swallow. Each writes down what it does, one line an event, before the broker is
// told and after the broker has answered; a pipe keeps the lines of a process that
// was killed. When the load has ended, and a worker has had the time to finish,
// functions without side effects judge the record:
//
//   - No confirmed job is lost, and none runs that was certainly not stored.
//   - Each second run has its cause: a fault while the job was in hand, or while it
//     was on its way.
//   - Attempts count failures, and no more.
//   - No delayed job is early.
//   - Every dead job is among the dead letters.
//   - Memory, goroutines and descriptors of a process that lives long do not grow,
//     and its log has a bounded number of lines for a fault.
//
// One command a broker, for as long as you like; without a broker it takes all in turn:
//
//	make soak BROKER=redis-8 FOR=20m
//
// Each fault by itself, as docs/reliability.md has it:
//
//	make reliability
//
// The seed of what is random is printed, and SEED=n takes it again.
package soak
