// Package secret finds credentials in what a program could print. It is for tests: of
// drivers and of what they return, by the conformance suite and one by one.
package secret
