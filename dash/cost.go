package dash

import "github.com/batch-go/batch"

// costs says, by driver, what it costs to read dead letters. A broker that can be looked into reads what a page shows.
var costs = map[string]string{
	"amqp": "RabbitMQ can look at dead letters only by taking all of them: each read takes every one and gives it back, one command at a time on the whole broker.",
	"sqs":  "SQS can look at dead letters only by receiving them: a read may receive all, hides them from others for a second or more, and is charged by the request.",
}

// readCost says what it costs to read the dead letters of a queue, where it is more than a page's worth.
func readCost(q *batch.QueueAdmin) string {
	if cost := costs[q.Driver().Info().Driver]; cost != "" {
		return cost
	}
	if !q.CanInspect() {
		return "This broker cannot be looked into, so reading dead letters may take all of them and give them back."
	}
	return ""
}
