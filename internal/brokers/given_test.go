package brokers

import (
	"errors"
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers/launch"
)

func TestGivenBrokerIsUsed(t *testing.T) {
	tests := []struct {
		family   string
		protocol launch.Protocol
		start    func(testing.TB) *Instance
		own      func(testing.TB) *Instance // may be nil
	}{
		{"redis", launch.Redis, func(t testing.TB) *Instance { return Redis(t, Redis8) },
			func(t testing.TB) *Instance { return OwnOrRedis(t, Redis8) }},
		{"rabbitmq", launch.RabbitMQ, func(t testing.TB) *Instance { return RabbitMQ(t, RabbitMQ4) },
			func(t testing.TB) *Instance { return OwnOrRabbitMQ(t, RabbitMQ4) }},
		{"nats", launch.NATS, func(t testing.TB) *Instance { return NATS(t, NATS2) },
			func(t testing.TB) *Instance { return OwnOrNATS(t, NATS2) }},
		{"postgres", launch.PostgreSQL, func(t testing.TB) *Instance { return PostgreSQL(t, PostgreSQL17) },
			func(t testing.TB) *Instance { return OwnOrPostgreSQL(t, PostgreSQL17) }},
		{"mariadb", launch.MariaDB, func(t testing.TB) *Instance { return MariaDB(t, MariaDB11) }, nil},
		{"sqs", launch.SQS, func(t testing.TB) *Instance { return SQS(t) }, nil},
	}
	for _, test := range tests {
		t.Run(test.family, func(t *testing.T) {
			variable := "BATCH_TEST_" + strings.ToUpper(test.family) + "_URL"
			i := test.start(t)
			t.Setenv(variable, i.URL())
			got, err := given(test.family, "1", test.protocol)
			if err != nil {
				t.Fatal(err)
			}
			if got.URL() != i.URL() || got.Name != i.Name && test.family != "sqs" {
				t.Errorf("got %s at %s, want %s at %s", got, got.URL(), i, i.URL())
			}
			if _, err := got.Exec(t.Context(), "true"); !errors.Is(err, ErrNotOurs) {
				t.Errorf("Exec = %v, want ErrNotOurs", err)
			}
			if test.own != nil {
				if own := test.own(t); own.URL() != i.URL() || own.Ours() {
					t.Errorf("a test that would start its own got %s at %s, ours: %t", own, own.URL(), own.Ours())
				}
			}
			t.Setenv(variable, "ftp://user:secret@localhost")
			_, err = given(test.family, "1", test.protocol)
			if got := errorText(err); !strings.Contains(got, variable) || strings.Contains(got, "secret") {
				t.Errorf("a wrong URL: %q, want an error that names %s and no password", got, variable)
			}
		})
	}
}

// The query of a PostgreSQL's URL says how to connect.
func TestGivenQueryIsKept(t *testing.T) {
	i := PostgreSQL(t, PostgreSQL17)
	const query = "?sslmode=disable"
	t.Setenv("BATCH_TEST_POSTGRES_URL", i.URL()+query)
	got, err := given("postgres", "5432", launch.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	if got.URL() != i.URL()+query {
		t.Errorf("URL = %q, want %q", got.URL(), i.URL()+query)
	}
	t.Setenv("BATCH_TEST_POSTGRES_URL", i.URL()+"?sslmode=verify-full")
	if _, err := given("postgres", "5432", launch.PostgreSQL); err == nil {
		t.Error("a server without TLS was taken for one with it")
	}
}

func TestGivenVirtualHostIsKept(t *testing.T) {
	i := RabbitMQ(t, RabbitMQ4)
	const vhost = "/%2F" // the one called /, spelled out
	t.Setenv("BATCH_TEST_RABBITMQ_URL", i.URL()+vhost)
	got, err := given("rabbitmq", "5672", launch.RabbitMQ)
	if err != nil {
		t.Fatal(err)
	}
	if got.URL() != i.URL()+vhost {
		t.Errorf("URL = %q, want %q", got.URL(), i.URL()+vhost)
	}
}
