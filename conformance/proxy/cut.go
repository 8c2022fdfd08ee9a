package proxy

// Cut says which call of the clients is the last that a connection has.
type Cut struct {
	// Call is its number, from 1, among all calls through the proxy. Zero is none.
	Call int
	// After lets the broker have the call, and the client not have the answer.
	// Otherwise the broker has neither the call nor anything behind it.
	After bool
	// ForGood makes it the last of all connections, and refuses new ones, as when the
	// client's process is killed. Otherwise new connections work, and others go on.
	ForGood bool
}
