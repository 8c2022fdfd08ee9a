package sqs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

var (
	_ driver.Examiner = (*Driver)(nil)
	_ driver.Examiner = (*FIFODriver)(nil)
)

// Examine looks for queues of the URL's prefix that SQS takes jobs away from: those with a
// RedrivePolicy, which ListQueues leaves out. What else is wrong with a queue, Declare
// says.
func (b *base) Examine(ctx context.Context) ([]driver.Finding, error) {
	const op, subject = "examine", "redrive policies"
	ctx, end, err := b.begin(ctx, op, "")
	if err != nil {
		return nil, err
	}
	defer end()
	urls, err := b.client.list(ctx, b.config.prefix)
	if isDenied(err) {
		return []driver.Finding{{Subject: subject, Grade: driver.GradeUnknown,
			Detail: "these credentials may not list queues", Remedy: "allow sqs:ListQueues, or name the queues"}}, nil
	}
	if err != nil {
		return nil, fail(op, "", err)
	}
	var found []driver.Finding
	looked := 0
	for _, name := range slices.Sorted(maps.Keys(urls)) {
		queue, n, ok := queueIn(b.config.prefix, name, b.config.fifo)
		for _, companion := range n.companions() {
			ok = ok && urls[companion] != ""
		}
		if !ok {
			continue
		}
		for _, part := range n.all() {
			policy, err := b.redrivePolicy(ctx, urls[part])
			if err != nil {
				return found, fail(op, queue, err)
			}
			if looked++; policy != "" {
				found = append(found, driver.Finding{Subject: subject, Grade: driver.GradeFail,
					Detail: fmt.Sprintf("the SQS queue %s of queue %s has a RedrivePolicy, by which SQS takes jobs away: %s", part, queue, policy),
					Remedy: "remove it: jobs are dead-lettered by the worker, with their history"})
			}
		}
	}
	if len(found) == 0 {
		found = append(found, driver.Finding{Subject: subject, Detail: fmt.Sprintf("none of %d SQS queues has a RedrivePolicy", looked)})
	}
	return found, nil
}

// redrivePolicy is that of an SQS queue, or empty where there is none, or no queue, or no
// right to look.
func (b *base) redrivePolicy(ctx context.Context, url string) (string, error) {
	attributes, err := b.client.attributes(ctx, url, types.QueueAttributeNameRedrivePolicy)
	if err != nil {
		kind := classify(err).Kind
		if errors.Is(kind, driver.ErrNotFound) || errors.Is(kind, driver.ErrUnauthorized) {
			err = nil
		}
		return "", err
	}
	return attributes[string(types.QueueAttributeNameRedrivePolicy)], nil
}
