package conformance

import (
	"context"
	"net/url"
	"strings"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/secret"
)

var credentialCases = []Case{
	{Name: "credentials-printed", Rule: "Nothing that the driver returns shows a credential, in any verb or encoder: handles, consumers, deliveries, dead letters, errors.", Needs: []string{needsSecrets}, run: caseCredentialsPrinted},
	{Name: "credentials-url", Rule: "No error of a URL that cannot be opened repeats its password, whatever that has in it.", Needs: []string{needsURL}, run: caseCredentialsURL},
}

// hides notes what shows one of secrets.
func (s *stage) hides(what string, value any, secrets ...string) {
	for _, found := range secret.Find(value, secrets...) {
		s.problem("%s: %s", what, found)
	}
}

// caseCredentialsPrinted prints everything when it is closed: a handle is not to be
// read while it is in use.
func caseCredentialsPrinted(s *stage) {
	d := s.declared()
	s.put(d, messages(2)...)
	c := s.consume(d, 2)
	got := s.receive(c, 2)
	s.settle(c, got[0], driver.OutcomeDone)
	s.settleDead(c, got[1])
	dead := s.waitDeadLetters(d, 1)
	info := d.Info()
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	_, notOpened := s.harness.open(ended)
	errs := map[string]error{
		"Open on a context that ended":  notOpened,
		"Depth on a context that ended": func() error { _, err := d.Depth(ended, s.queue); return err }(),
		"Depth of a missing queue":      func() error { _, err := d.Depth(s.ctx, s.newQueue()); return err }(),
		"Settle of a settled delivery":  errors1(c.Settle(s.ctx, []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeDone}})),
	}
	s.check(c.Close(s.ctx), "close the consumer")
	s.check(d.Close(s.ctx), "close")
	errs["Depth after Close"] = func() error { _, err := d.Depth(s.ctx, s.queue); return err }()
	for what, err := range errs {
		if err == nil {
			s.problem("%s has no error", what)
			continue
		}
		s.hides("the error of "+what, err, s.harness.Secrets...)
	}
	for what, value := range map[string]any{
		"the driver": d, "Info": info, "the consumer": c, "a delivery": got[0], "its receipt": got[0].Receipt,
		"a dead letter": dead[0], "the driver in a queue": batch.NewQueue(d, s.queue),
	} {
		s.hides(what, value, s.harness.Secrets...)
	}
}

// errors1 is the error of the one item of a call.
func errors1(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// Two parts of a password. What stands between them may end it for a parser.
const (
	quiet = "hUsh7k2vQ"
	loud  = "w0Rd9xZp4"
)

func caseCredentialsURL(s *stage) {
	own, err := url.Parse(s.harness.URL)
	s.check(err, "parse Harness.URL")
	nobody := own.Host
	if own.Port() != "" {
		nobody = "127.0.0.1:1" // where no broker is
	}
	user := own.User.Username()
	if user == "" {
		user = "somebody"
	}
	_, rest, _ := strings.Cut(own.RequestURI(), "/")
	form := func(password, host, rest string) string {
		return own.Scheme + "://" + user + ":" + password + "@" + host + "/" + rest
	}
	for _, between := range []string{"", "?", "/", "#", "%", ":", "@", " ", `"`, `\`, "[", "]", "&", "=", "+", ";", "\x7f", "\u00fc", "?a=", "/?", "@b:1/"} {
		password := quiet + between + loud
		escaped := strings.TrimPrefix(url.UserPassword("", password).String(), ":")
		s.opensQuietly(form(password, nobody, rest))
		s.opensQuietly(form(password+":1", nobody, rest))
		s.opensQuietly(form("1"+between+password, nobody, rest))
		s.opensQuietly(form(escaped, nobody, rest))
	}
	s.opensQuietly(form(quiet+loud, own.Host, rest)) // the broker may refuse it
	for _, bad := range []string{"unknown=" + quiet + loud, "password=" + quiet + loud, quiet + loud, quiet + "%zz" + loud} {
		s.opensQuietly(form(quiet, nobody, bad))
		s.opensQuietly(form(quiet, nobody, "?"+bad))
	}
}

// opensQuietly opens a URL whose password has the two parts.
func (s *stage) opensQuietly(rawURL string) {
	ctx, cancel := s.soon()
	defer cancel()
	d, err := batch.Open[driver.Driver](ctx, rawURL)
	if err != nil {
		s.hides("the error of batch.Open of "+strings.NewReplacer(quiet, "***", loud, "***").Replace(rawURL), err, quiet, loud)
		return
	}
	s.check(d.Close(s.ctx), "close")
	s.hides("a driver of a URL", d, quiet, loud)
}
