package driver

import (
	"errors"
	"net/url"
	"strings"
)

// ParseURL parses a driver's URL. It does not check the scheme: the driver
// does. The error wraps [ErrConfig] and repeats nothing of the URL, which may
// hold a password: url.Parse quotes the URL in its errors, and for an invalid
// port the part of a password that follows an unescaped colon.
//
// An @ behind the host is refused. It mostly is the one after a password with an
// unescaped slash, question mark or number sign: what was meant for user and password
// then is host and port, and the rest of the password is a path or a parameter, each
// of which errors do repeat. Where it is meant it is written %40.
func ParseURL(driver, rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, malformed(driver, "the URL cannot be parsed")
	}
	if strings.Contains(behindHost(rawURL), "@") {
		return nil, malformed(driver, "the URL has an @ behind the host")
	}
	return u, nil
}

// malformed is the error of a URL that says nothing of what it is.
func malformed(driver, what string) error {
	return &Error{Driver: driver, Op: "open", Kind: ErrConfig, Fate: FateNotStored,
		Err:  errors.New(what),
		Hint: "its form is scheme://user:password@host:port/path?name=value, with user and password escaped for URLs, and an @ in the path or a value written %40"}
}

// behindHost is what follows user, password, host and port: all of a URL that has no
// such part.
func behindHost(rawURL string) string {
	_, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return rawURL
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[i:]
	}
	return ""
}
