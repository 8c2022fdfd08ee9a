package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/batch-go/batch/driver"
)

// node is what the management API says of a node.
// https://www.rabbitmq.com/docs/http-api-reference
type node struct {
	Name       string   `json:"name"`
	Running    bool     `json:"running"`
	Partitions []string `json:"partitions"`
}

// health is what the management API says of alarms. What it says of them beside the nodes is
// some seconds old.
type health struct {
	Alarms []struct {
		Node     string `json:"node"`
		Resource string `json:"resource"`
	} `json:"alarms"`
}

// member is what the management API says of a queue.
type member struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Members []string `json:"members"`
	Online  []string `json:"online"`
}

// rabbitMQ looks at the nodes, at the policies for batch's queues, and at the members of
// these, by the management API.
func (x *examination) rabbitMQ(ctx context.Context, s *source, vhost string, queues []string) {
	ctx, cancel := x.within(ctx)
	defer cancel()
	if s.user == nil {
		s.user = url.UserPassword("guest", "guest") // as the driver has it
	}
	var nodes []node
	if err := s.get(ctx, "/api/nodes", &nodes); err != nil {
		remedy := "rabbitmq-plugins enable rabbitmq_management, and say --monitoring http://host:15672"
		if status := (statusError{}); errors.As(err, &status) && (status.code == http.StatusUnauthorized || status.code == http.StatusForbidden) {
			remedy = "rabbitmqctl set_user_tags USER monitoring policymaker, or name another user in --monitoring"
		}
		x.silent(s, "policies and alarms are not known, as AMQP does not tell them and the management API does not answer", remedy, err)
		return
	}
	var now health
	if err := s.get(ctx, "/api/health/checks/alarms", &now); err != nil {
		x.silent(s, "the alarms are not known", "rabbitmqctl set_user_tags USER monitoring, or name another user in --monitoring", err)
	}
	x.nodes(nodes, now)
	at := "/" + url.PathEscape(vhost)
	var all, operators []policy
	if err := errors.Join(s.get(ctx, "/api/policies"+at, &all), s.get(ctx, "/api/operator-policies"+at, &operators)); err != nil {
		x.silent(s, "the policies are not known", "rabbitmqctl set_user_tags USER policymaker, or name another user in --monitoring", err)
		return
	}
	for i := range operators {
		operators[i].operator = true
	}
	var there []member
	if err := s.get(ctx, "/api/queues"+at+"", &there); err != nil {
		x.silent(s, "the queues are not known", "rabbitmqctl set_user_tags USER monitoring, or name another user in --monitoring", err)
	}
	x.policies(append(all, operators...), namesIn(there, queues))
	x.members(there, len(nodes))
}

// nodes looks at the nodes and their alarms.
func (x *examination) nodes(nodes []node, now health) {
	const subject = "nodes"
	sound := true
	complain := func(grade driver.Grade, remedy, format string, args ...any) {
		x.found(subject, grade, remedy, format, args...)
		sound = false
	}
	for _, n := range nodes {
		switch {
		case !n.Running:
			complain(driver.GradeWarn, "start it", "node %s does not run", n.Name)
		case len(n.Partitions) > 0:
			complain(driver.GradeFail, "mend the network, and restart the node", "node %s is cut off from %s", n.Name, strings.Join(n.Partitions, ", "))
		}
	}
	for _, a := range now.Alarms {
		complain(driver.GradeFail, "give the node more "+a.Resource+", or let workers catch up", "node %s is short of %s, and the broker takes no jobs", a.Node, a.Resource)
	}
	if sound {
		x.ok(subject, "%d running, without alarms", len(nodes))
	}
}

// members looks at the replicas of batch's quorum queues.
func (x *examination) members(there []member, nodes int) {
	const subject = "replication"
	looked, sound := 0, true
	for _, q := range there {
		if !strings.HasPrefix(q.Name, "batch.") || len(q.Members) == 0 {
			continue
		}
		looked++
		switch {
		case len(q.Online) > 0 && len(q.Online) < len(q.Members):
			sound = false
			x.found(subject, driver.GradeWarn, "start the nodes that are away", "queue %s has %d of its %d members", q.Name, len(q.Online), len(q.Members))
		case len(q.Members) == 1 && nodes > 1:
			sound = false
			x.found(subject, driver.GradeWarn, "rabbitmq-queues grow NODE all", "queue %s has one member on a cluster of %d nodes: it ends with that node", q.Name, nodes)
		}
	}
	if sound && looked > 0 {
		x.ok(subject, "%d quorum queues have all their members, on %d %s", looked, nodes, nodesOf(nodes))
	}
}

// nodesOf is the word for so many.
func nodesOf(n int) string {
	if n == 1 {
		return "node"
	}
	return "nodes"
}

// namesIn are the names of RabbitMQ's queues that policies are held against: those that are
// there, those of the queues that the user has named, and those of one that anybody might
// declare next.
func namesIn(there []member, queues []string) []string {
	var names []string
	for _, q := range there {
		if strings.HasPrefix(q.Name, "batch.") && !strings.HasPrefix(q.Name, "batch."+exerciseQueue) {
			names = append(names, q.Name)
		}
	}
	for _, queue := range append(queues, anyQueue) {
		main := "batch." + queue
		names = append(names, main, main+".dead", main+".hop", main+".delay.64")
	}
	return names
}
