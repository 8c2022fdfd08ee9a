package main

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/internal/brokers"
)

// TestDoctorOnSQS sets queues up so that SQS takes jobs away, or holds them back.
func TestDoctorOnSQS(t *testing.T) {
	t.Parallel()
	url, server := sqsURL(t, "doctor-"), brokers.SQS(t)
	client := awssqs.New(awssqs.Options{Region: brokers.SQSRegion, BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(server.Username, server.Password, "")})
	set := func(attribute, value string) {
		t.Helper()
		found, err := client.GetQueueUrl(testContext(t), &awssqs.GetQueueUrlInput{QueueName: aws.String("doctor-emails")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.SetQueueAttributes(testContext(t), &awssqs.SetQueueAttributesInput{QueueUrl: found.QueueUrl, Attributes: map[string]string{attribute: value}}); err != nil {
			t.Fatal(err)
		}
	}
	seed(t, open(t, url), "emails")
	diagnose(t, url, nil, finding{"redrive policies", "ok", "none of 2", ""}, finding{"queues", "ok", "1 of 1", ""}, finding{"exercise", "ok", "", ""})
	set("DelaySeconds", "7")
	diagnose(t, url, nil, finding{"queues", "fail", "DelaySeconds of 7", "set it to 0"})
	set("DelaySeconds", "0")
	set("MessageRetentionPeriod", "3600")
	diagnose(t, url, nil, finding{"queues", "fail", "MessageRetentionPeriod of 3600", "retention="})
	set("MessageRetentionPeriod", "1209600")
	set("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:doctor-emails-dead","maxReceiveCount":"3"}`)
	diagnose(t, url, nil, finding{"redrive policies", "fail", "doctor-emails of queue emails has a RedrivePolicy", "remove it"})
}
