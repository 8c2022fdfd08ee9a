package driver

import (
	"errors"
	"net/url"
)

// ParseURL parses a driver's URL. It does not check the scheme: the driver
// does. The error wraps [ErrConfig] and repeats nothing of the URL, which may
// hold a password: url.Parse quotes the URL in its errors, and for an invalid
// port the part of a password that follows an unescaped colon.
func ParseURL(driver, rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, &Error{Driver: driver, Op: "open", Kind: ErrConfig, Fate: FateNotStored,
			Err:  errors.New("the URL cannot be parsed"),
			Hint: "its form is scheme://user:password@host:port/path?name=value, with user and password escaped for URLs"}
	}
	return u, nil
}
