// Package keda reads the triggers of docs/deploy.md, for the tests of drivers that send KEDA's requests to real brokers. So
// what is tested are the very names that a reader copies.
package keda
