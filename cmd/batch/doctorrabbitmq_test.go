package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

// TestDoctorOnRabbitMQ has an operator do to a broker what doctor is to find.
func TestDoctorOnRabbitMQ(t *testing.T) {
	t.Parallel()
	server := brokers.NewRabbitMQ(t, brokers.RabbitMQ4)
	url := server.URL()
	run := func(command ...string) string {
		t.Helper()
		out, err := server.Exec(testContext(t), command...)
		if err != nil {
			t.Fatalf("%q: %v %s", command, err, out)
		}
		return out
	}
	seed(t, open(t, url), "emails")
	diagnose(t, url, []string{"emails"}, finding{"monitoring", "unknown", "policies and alarms are not known", "rabbitmq-plugins enable"},
		finding{"exercise", "ok", "", ""})
	diagnose(t, url, nil, finding{"queues", "unknown", "cannot list its queues", "name the queues"})
	diagnose(t, url, []string{"--monitoring", "http://127.0.0.1:1"}, finding{"monitoring", "fail", "connection refused", ""})

	run("rabbitmq-plugins", "enable", "rabbitmq_management")
	run("rabbitmqctl", "eval", `rabbit_auth_backend_internal:add_user(<<"few">>, <<"word">>, <<"guest">>), `+
		`rabbit_auth_backend_internal:set_permissions(<<"few">>, <<"/">>, <<"^batch\\.">>, <<"^batch\\.">>, <<"^batch\\.">>, <<"guest">>).`)
	at := "http://guest:guest@" + strings.Fields(run("hostname", "-i"))[0] + ":15672"
	watched := []string{"emails", "--monitoring", at}
	diagnose(t, url, watched, finding{"policies", "ok", "none of 0", ""}, finding{"nodes", "ok", "without alarms", ""},
		finding{"replication", "ok", "quorum queues have all their members", ""}, finding{"queues", "ok", "1 of 1", ""})

	few := "amqp://few:word@" + server.Addr
	diagnose(t, few, []string{"--monitoring", strings.Replace(at, "guest:guest", "few:word", 1)},
		finding{"exercise", "fail", "amq.default", "permissions"}, finding{"monitoring", "fail", "HTTP status 401", "set_user_tags"})

	for i, p := range []struct{ pattern, definition, grade, detail string }{
		{".*", `{"max-length":1000}`, "warn", "refuses jobs beyond it"},
		{".*", `{"max-length":1000,"overflow":"drop-head"}`, "fail", "dead letters of the oldest jobs"},
		{"^batch", `{"message-ttl":60000}`, "fail", "jobs that wait for longer"},
		{`^batch\.emails$`, `{"message-ttl":60000}`, "fail", "it is for batch.emails"},
		{`\.dead$`, `{"message-ttl":60000}`, "fail", "without a worker they are lost"},
		{".*", `{"expires":60000}`, "fail", "deletes queues"},
		{`^batch\.emails$`, `{"delivery-limit":5}`, "warn", "lost with so many workers"},
		{".*", `{"delivery-limit":5}`, "fail", "that were listed so often"},
		{`\.delay\.`, `{"message-ttl":60}`, "warn", "before their time"},
		{"^other", `{"expires":60000}`, "ok", "none of 1"},
	} {
		name := fmt.Sprint("policy-", i)
		run("rabbitmqctl", "set_policy", "--apply-to", "queues", name, p.pattern, p.definition)
		want := finding{"policies", p.grade, p.detail, "rabbitmqctl set_policy " + name}
		if p.grade == "ok" {
			want.remedy = ""
		}
		diagnose(t, url, append(watched, "--read-only"), want)
		run("rabbitmqctl", "clear_policy", name)
	}
	run("rabbitmqctl", "set_operator_policy", "bounds", ".*", `{"expires":60000}`)
	diagnose(t, url, append(watched, "--read-only"), finding{"policies", "fail", "operator policy bounds", "set_operator_policy"})
	run("rabbitmqctl", "clear_operator_policy", "bounds")

	run("rabbitmqctl", "set_disk_free_limit", "100000GB")
	diagnose(t, url, append(watched, "--read-only"), finding{"nodes", "fail", "short of disk", "more disk"})
}

// TestDoctorOnOldRabbitMQ: a version that is too old is refused, with what is needed.
func TestDoctorOnOldRabbitMQ(t *testing.T) {
	t.Parallel()
	diagnose(t, brokers.RabbitMQ(t, brokers.RabbitMQ3).URL(), nil, finding{"connection", "fail", "RabbitMQ 4.0 or newer", ""})
}
