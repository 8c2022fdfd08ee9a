// Package databases has the tests of package outbox that need real databases, in a module of their own, so
// that nobody who uses an outbox needs the clients of all.
package databases
