package amqp

import (
	"fmt"
	"strconv"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// infoOf is what the broker says of itself, without limits.
func infoOf(client *amqp091.Connection) driver.Info {
	product, _ := client.Properties["product"].(string)
	version, _ := client.Properties["version"].(string)
	return driver.Info{Driver: Name, Broker: product, Version: version}
}

// The oldest versions that have what the driver needs: quorum queues with a
// delivery limit that can be switched off, and strict priorities in them.
// https://www.rabbitmq.com/docs/quorum-queues
var (
	oldest         = version{4, 0}
	oldestPriority = version{4, 3}
)

// check refuses a broker on which the driver cannot keep its promises.
func check(product, text string, s shape) error {
	need, what := oldest, "quorum queues without a delivery limit"
	if s == shapeQuorum {
		need, what = oldestPriority, "strict priorities in quorum queues"
	}
	v, ok := parseVersion(text)
	if product == "RabbitMQ" && ok && !v.before(need) {
		return nil
	}
	hint := ""
	if s == shapeQuorum && product == "RabbitMQ" && ok && !v.before(oldest) {
		hint = "priority=classic uses classic queues, which every version orders by priority, but does not replicate"
	}
	err := fmt.Errorf("the broker is %s %s; %s need RabbitMQ %d.%d or newer", product, text, what, need.major, need.minor)
	return faults.Refuse("open", "", driver.ErrUnsupported, err, hint)
}

// version is a version of RabbitMQ.
type version struct{ major, minor int }

// before tells whether v is older than w.
func (v version) before(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// parseVersion reads the first two numbers of "4.3.6" or "4.4.0-beta.1".
func parseVersion(text string) (version, bool) {
	major, rest, _ := strings.Cut(text, ".")
	minor, _, _ := strings.Cut(rest, ".")
	minor, _, _ = strings.Cut(minor, "-")
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return version{a, b}, err == nil && err2 == nil
}
