package driver

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
)

// Addr completes a host as a URL has it, "host" or "host:port", to the address
// to dial: port is the default one, and an empty host is localhost. If the
// result is not a valid address, [Params.Err] reports it and Addr returns "".
func (p *Params) Addr(host, port string) string {
	if host == "" {
		host = "localhost"
	}
	addr, err := address(host, port)
	if err != nil {
		p.Refuse("%w", err)
	}
	return addr
}

// Addrs completes hosts, and those of the parameter addr, which may be given
// several times, as [Params.Addr] does. Only the first of hosts may be empty.
func (p *Params) Addrs(port string, hosts ...string) []string {
	var addrs []string
	for i, host := range slices.Concat(hosts, p.Strings("addr")) {
		if host == "" && i > 0 {
			p.Refuse("an address is empty and not of the form host:port")
			continue
		}
		addrs = append(addrs, p.Addr(host, port))
	}
	return addrs
}

// address completes host by port.
func address(host, port string) (string, error) {
	u, err := url.Parse("//" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || u.User != nil {
		return "", errors.New("an address is not of the form host:port")
	}
	if own := u.Port(); own != "" {
		port = own
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", errors.New("a port is not between 1 and 65535")
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return "", errors.New("an address is not of the form host:port") // such as a single bracket
	}
	return addr, nil
}
