package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// A respConn speaks just enough of Redis's protocol to ask whether a server is ready, what it is, and
// to join servers into a cluster. It exists so that no client library, with its pools, retries and
// goroutines, stands between the question and the answer.
type respConn struct {
	conn   net.Conn
	reader *bufio.Reader
}

// dialRESP connects to the server and authenticates. The caller closes the connection.
func dialRESP(ctx context.Context, s *launch.Server) (*respConn, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	config, err := s.TLSConfig()
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	if config != nil {
		conn, err = (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", s.Addr)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	}
	if err != nil {
		return nil, err
	}
	c := &respConn{conn: conn, reader: bufio.NewReader(conn)}
	if s.Password == "" {
		return c, nil
	}
	auth := []string{"AUTH", s.Password}
	if s.Username != "" {
		auth = []string{"AUTH", s.Username, s.Password}
	}
	if _, err := c.do(ctx, auth...); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// do sends one command and returns its reply as text, the elements of an array a line each. A reply
// that is an error, LOADING among them, is returned as an error.
func (c *respConn) do(ctx context.Context, args ...string) (string, error) {
	deadline := time.Now().Add(exchangeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	var request strings.Builder
	fmt.Fprintf(&request, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&request, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(c.conn, request.String()); err != nil {
		return "", fmt.Errorf("%s: %w", args[0], err)
	}
	reply, err := readReply(c.reader)
	if err != nil {
		return "", fmt.Errorf("%s: %w", args[0], err)
	}
	return reply, nil
}

func (c *respConn) close() error {
	return c.conn.Close()
}

// readReply reads one reply of the second version of the protocol.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("empty reply")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", errors.New(rest)
	case '$', '*':
		n, err := strconv.Atoi(rest)
		if err != nil {
			return "", fmt.Errorf("reply %q: %w", line, err)
		}
		if n < 0 { // null
			return "", nil
		}
		if kind == '$' {
			return readBulk(r, n)
		}
		elements := make([]string, n)
		for i := range elements {
			if elements[i], err = readReply(r); err != nil {
				return "", err
			}
		}
		return strings.Join(elements, "\n"), nil
	default:
		return "", fmt.Errorf("reply of unknown kind: %q", line)
	}
}

func readBulk(r *bufio.Reader, n int) (string, error) {
	body := make([]byte, n+len("\r\n"))
	if _, err := io.ReadFull(r, body); err != nil {
		return "", err
	}
	return string(body[:n]), nil
}

// infoField returns the value of a field in the "name:value" lines of INFO and CLUSTER INFO.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), name+":"); ok {
			return value
		}
	}
	return ""
}
