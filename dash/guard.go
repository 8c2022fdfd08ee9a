package dash

import (
	"net/http"
	"net/url"
	"slices"
)

// policy lets a page load what this handler serves, send its forms here, and nothing else. No script and no style is in
// a page itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// secure sets the headers that every answer has.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	// No other site is told anything. With no-referrer the browser would say that the origin of a form is null, and one
	// that was sent by a page of this handler could not be told from any other where there is no Sec-Fetch-Site, which
	// browsers send to https and localhost only.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// guard refuses requests that other sites made a browser send.
type guard struct {
	protection *http.CrossOriginProtection
	trusted    []string
}

// newGuard makes a guard. The origins were checked.
func newGuard(trusted []string) (guard, error) {
	g := guard{protection: http.NewCrossOriginProtection(), trusted: trusted}
	for _, origin := range trusted {
		if err := g.protection.AddTrustedOrigin(origin); err != nil {
			return g, err
		}
	}
	return g, nil
}

// check refuses what is not certain to come from a page of this handler. The protection of the standard library lets a
// request pass that has neither Sec-Fetch-Site nor Origin, since all browsers of the last years send one of them. A
// browser older than that sends a Referer.
func (g guard) check(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	if err := g.protection.Check(r); err != nil {
		return refuse(http.StatusForbidden, "Refused", "The request was not sent by a page of this dashboard (%v). "+
			"Behind a proxy that changes the Host of requests, the program has to name its origin in TrustedOrigins.", err)
	}
	if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" {
		return nil
	}
	if g.refers(r) {
		return nil
	}
	return refuse(http.StatusForbidden, "Refused", "The request does not say which page sent it: it has no Sec-Fetch-Site, Origin or Referer of this host. "+
		"Programs use the command batch, or send an Origin.")
}

// refers tells whether the Referer of a request is a page of this host or of a trusted origin.
func (g guard) refers(r *http.Request) bool {
	from, err := url.Parse(r.Referer())
	return err == nil && from.Host != "" && (from.Host == r.Host || slices.Contains(g.trusted, from.Scheme+"://"+from.Host))
}

// foreign tells whether another site may have made the browser send a request, by a link or an image for example. Such a
// page is shown, but reads nothing that is costly. Browsers send Sec-Fetch-Site to https and localhost only; elsewhere the
// pages of this handler send a Referer, and what sends none is not certain to come from one. What changes something was
// checked before.
func (g guard) foreign(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if from := r.Header.Get("Sec-Fetch-Site"); from != "" {
		return from != "same-origin" && from != "none"
	}
	return !g.refers(r)
}
