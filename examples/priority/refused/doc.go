// Package refused holds a line that the compiler refuses: it asks a broker
// without priorities for one. The line is left out of ordinary builds by a build
// tag; this shows the compiler's words:
//
//	go build -tags refused ./examples/priority/refused
package refused
