package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// shown is what verbs, encoders and the log make of a value.
func shown(v any) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	text, err := json.Marshal(v)
	fmt.Fprintf(&b, "%s %v\n", text, err)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	return b.String()
}

// TestNothingShowsCredentials: no value and no error has a user's password, whatever the
// form of the URL, and whether the server takes it or not.
func TestNothingShowsCredentials(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	const secret = "s3cr3t"
	admin := rawAt(t, server.URL()).(*goredis.Client)
	if err := admin.Do(testContext(t), "acl", "setuser", "batch", "on", ">"+secret, "~*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	d := openAt(t, strings.Replace(server.URL(), "redis://", "redis://batch:"+secret+"@", 1))
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	if err := c.Close(testContext(t)); err != nil { // nothing writes what is shown
		t.Fatal(err)
	}
	for _, v := range []any{d, d.conn, c, c.holder, d.info, Options{}, d.conn.durability} {
		if s := shown(v); strings.Contains(s, secret) {
			t.Errorf("%T is shown as %s", v, s)
		}
	}
	if err := admin.Do(testContext(t), "acl", "setuser", "batch", "resetpass", ">other").Err(); err != nil {
		t.Fatal(err)
	}
	var opens sync.WaitGroup
	for _, form := range []string{"redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel", "rediss+other"} {
		for _, user := range []string{"batch:" + secret, ":" + secret, "batch:" + secret + "?x", "batch:" + secret + "/x", "batch:" + secret + "#x", "batch:" + secret + "%zz", "batch:a@" + secret, "batch:" + secret + ":x", "batch:%" + secret, "batch:[" + secret} {
			for _, rest := range []string{"?master=m&sentinel_password=" + secret, "", "/x", "?timeout=x&sentinel_user=" + secret, ":x"} {
				opens.Go(func() {
					ctx, cancel := context.WithTimeout(testContext(t), time.Second)
					defer cancel()
					other, err := Open(ctx, form+"://"+user+"@"+server.Addr+rest)
					if err == nil {
						closeDriver(t, other) // the default user takes any password
					} else if s := shown(err); strings.Contains(s, secret) {
						t.Errorf("%s://%s@…%s: the error is shown as %s", form, user, rest, s)
					}
				})
			}
		}
	}
	opens.Wait()
	err := firstError(d.Enqueue(testContext(t), q, many(1)))
	if err != nil && (!errors.Is(err, driver.ErrUnauthorized) || strings.Contains(shown(err), secret)) {
		t.Errorf("enqueue: %v", err)
	}
}
