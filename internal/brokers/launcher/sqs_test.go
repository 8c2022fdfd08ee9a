package main

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/internal/brokers"
)

func TestSQSServes(t *testing.T) {
	t.Parallel()
	i := brokers.SQS(t)
	client := sqsClient(i)
	queue := createQueue(t, client)
	send(t, client, queue, "value")
	if got := receive(t, client, queue); got != "value" {
		t.Errorf("got %q, want %q", got, "value")
	}
	if again := brokers.SQS(t); again != i {
		t.Errorf("a second call started another broker: %s and %s", i.Addr, again.Addr)
	}
}

func TestSQSRestartKeepsQueues(t *testing.T) {
	t.Parallel()
	i := brokers.NewSQS(t)
	client := sqsClient(i)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	queue := createQueue(t, client)
	for _, fault := range restarts(ctx, i) {
		send(t, client, queue, fault.name)
		if err := fault.do(); err != nil {
			t.Fatalf("%s: %v", fault.name, err)
		}
		if got := receive(t, client, queue); got != fault.name {
			t.Errorf("after %s: got %q", fault.name, got)
		}
	}
}

// sqsClient returns a client of i.
func sqsClient(i *brokers.Instance) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String(i.URL()),
		Region:       brokers.SQSRegion,
		Credentials:  credentials.NewStaticCredentialsProvider(i.Username, i.Password, ""),
	})
}

// createQueue makes a queue that is named after the test and returns its URL.
func createQueue(t *testing.T, client *sqs.Client) *string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(t.Name())})
	if err != nil {
		t.Fatal(err)
	}
	return out.QueueUrl
}

func send(t *testing.T, client *sqs.Client, queue *string, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

// receive takes a message from the queue.
func receive(t *testing.T, client *sqs.Client, queue *string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 5})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Messages) != 1 {
		t.Fatalf("received %d messages, want 1", len(out.Messages))
	}
	message := out.Messages[0]
	if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: message.ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
	return *message.Body
}
