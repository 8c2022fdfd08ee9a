package amqp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/keda"
)

// kedaScaler sends what the scaler rabbitmq of KEDA sends.
type kedaScaler struct {
	broker *brokers.Instance
	ch     *amqp091.Channel
}

// count is the metric of a trigger of docs/deploy.md.
func (s kedaScaler) count(ctx context.Context, trigger keda.Trigger) (int64, error) {
	m := trigger.Metadata
	if trigger.Type != "rabbitmq" || m["mode"] != "QueueLength" {
		return 0, fmt.Errorf("no request is known for %+v", trigger)
	}
	switch m["protocol"] {
	case "amqp":
		// A queue that is not there ends the channel.
		q, err := s.ch.QueueDeclarePassive(m["queueName"], false, false, false, false, amqp091.Table{})
		return int64(q.Messages), err
	case "http":
		return s.managed(ctx, m["queueName"])
	}
	return 0, fmt.Errorf("the protocol is %q", m["protocol"])
}

// managed asks the management plug-in, for messages, of which messages_ready would be those that wait.
func (s kedaScaler) managed(ctx context.Context, queue string) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.broker.HTTP+"/api/queues/%2F/"+url.QueryEscape(queue), nil)
	if err != nil {
		return 0, err
	}
	request.SetBasicAuth(s.broker.Username, s.broker.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the answer is %s", response.Status)
	}
	var answer struct{ Messages *int64 }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Messages == nil {
		return 0, fmt.Errorf("there are no statistics of %s yet", queue)
	}
	return *answer.Messages, nil
}

// TestKEDA sends what KEDA sends for the triggers of docs/deploy.md. Over AMQP the answer is the backlog that package health
// tells, over HTTP with what workers hold, and only the second trigger sees a delayed job that is due while there is no worker.
func TestKEDA(t *testing.T) {
	t.Parallel() // it waits for the statistics of a broker of its own
	broker := brokers.NewRabbitMQManaged(t, brokers.RabbitMQ4)
	d, err := Open(testContext(t), broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDriver(t, d) })
	q := queue(t, d)
	conn, err := amqp091.Dial(broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s := kedaScaler{broker, ch}
	blocks, err := keda.Triggers("RabbitMQ", q)
	if err != nil {
		t.Fatal(err)
	}
	overAMQP, overHTTP := blocks[0], blocks[1]
	expect := func(what string, trigger keda.Trigger, want int64) {
		t.Helper()
		err := keda.Await(testContext(t), want, func(ctx context.Context) (int64, error) { return s.count(ctx, trigger) })
		if err != nil {
			t.Errorf("%s, over %s, the trigger %s: %v", what, trigger.Metadata["protocol"], trigger.Name, err)
		}
	}

	if err := keda.Put(testContext(t), d, q, keda.Message("due", 100*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for _, triggers := range blocks {
		expect("a delayed job that is due", triggers[1], 1)
		expect("a delayed job that is due", triggers[0], 0)
	}
	if load, err := keda.Load(d, q); err != nil || *load.Waiting != 0 || load.Due != nil || *load.Backlog != 1 {
		t.Errorf("health tells %+v, %v", load, err)
	}

	leave, err := keda.Scene(testContext(t), d, q)
	if err != nil {
		t.Fatal(err)
	}
	expect("seven jobs, two of them held", overAMQP[0], 5)
	expect("seven jobs, two of them held", overHTTP[0], 7)
	for _, triggers := range blocks {
		expect("nothing due", triggers[1], 0)
	}
	if load, err := keda.Load(d, q); err != nil || *load.Backlog != 5 || load.Demand != nil || load.Running != nil {
		t.Errorf("health tells %+v, %v", load, err)
	}
	if err := leave(testContext(t)); err != nil {
		t.Fatal(err)
	}
	expect("seven jobs that wait", overAMQP[0], 7)
}

// TestKEDAOfAQueueThatIsNotThere has KEDA fail, and package health tell why, instead of telling that there are no jobs.
func TestKEDAOfAQueueThatIsNotThere(t *testing.T) {
	d := open(t)
	conn, err := amqp091.Dial(testURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := keda.Triggers("RabbitMQ", "nobody-declared-this")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := (kedaScaler{ch: ch}).count(testContext(t), blocks[0][0]); err == nil {
		t.Errorf("KEDA counts %d", n)
	}
	if load, err := keda.Load(driver.Driver(d), "nobody-declared-this"); err == nil || load.Backlog != nil {
		t.Errorf("health tells %+v", load)
	}
}
