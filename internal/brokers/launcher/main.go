// Command launcher starts brokers in containers for one test binary, whose child process it is, and
// removes them when that is gone. It is a module of its own, so that what it takes to talk to a
// container engine is in no module that the users of a driver resolve.
//
//	go run . <calls >results    answers the calls of package launch
//	go run . -sweep             removes what killed launchers have left
//
// The test binary and the launcher talk over the launcher's standard input and output. The end of the
// input is the end of the test binary, however that came about: a panic, a timeout and SIGKILL run no
// deferred function, and the kernel closes the pipe in every case. The launcher is in a process group
// of its own, since the interrupt key and go test's timeout signal the whole group.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/signal"
	"syscall"

	"github.com/batch-go/batch/internal/brokers/launch"
)

func main() {
	onlySweep := flag.Bool("sweep", false, "remove the brokers that killed launchers have left, and start none")
	flag.Parse()
	err := errors.New("launcher: takes no arguments")
	switch {
	case flag.NArg() > 0:
	case *onlySweep:
		err = sweepAlone()
	default:
		// A test binary that is gone reads no answers. The next one must not end this process, as a signal,
		// before it has removed what it started.
		signal.Ignore(syscall.SIGPIPE)
		output := os.Stdout
		os.Stdout = os.Stderr // nothing else may get between the results
		err = serve(os.Stdin, output)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "brokers:", err)
		os.Exit(1)
	}
}

// serve answers calls until the input ends, and removes what they have started.
func serve(input io.Reader, output io.WriteCloser) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := newLauncher(ctx)
	server := rpc.NewServer()
	if err := server.RegisterName(launch.Service, l); err != nil {
		return err
	}
	// It returns when the calls have, which the end of the input cancels.
	server.ServeCodec(jsonrpc.NewServerCodec(&pipes{input, output, cancel}))
	return l.close()
}

// pipes are the launcher's two ends. The end of the input calls ended.
type pipes struct {
	input io.Reader
	io.WriteCloser
	ended context.CancelFunc
}

// Read implements io.Reader.
func (p *pipes) Read(b []byte) (int, error) {
	n, err := p.input.Read(b)
	if err != nil {
		p.ended()
	}
	return n, err
}
