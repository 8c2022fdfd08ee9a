// Package socket has what drivers do with connections that their client libraries do not.
// It looks at one without reading from it: a driver that keeps one idle wants to know that
// the other side has closed it before it writes a request that the broker might have
// carried out.
package socket

import "errors"

// ErrNothing says that nothing has come on a connection, or that nobody can tell.
var ErrNothing = errors.New("nothing to read")
