// Package lifecycle is the part of a driver that is the same for every broker:
// which calls are under way, how a Close waits for them and cuts them off, and a
// sleep that a ctx ends.
package lifecycle
