//go:build !race

package sqs

import (
	"fmt"
	"testing"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/allocs"
)

// ownAllocs is what a job may allocate of a full request, beyond what the SDK allocates for the same request.
const ownAllocs = 10

// TestEnqueueAllocations has requests of ten beside the SDK's own, to a server in the process that is a part of both.
func TestEnqueueAllocations(t *testing.T) {
	const many = 10
	f := newFake()
	d, err := New(t.Context(), f.client(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, d)
	if err := d.Declare(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	var list []*driver.Message
	for i := range many {
		list = append(list, job(fmt.Sprint(i), 0))
	}
	put(t, d, list...)
	q, err := d.resolve(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	url := q.urls[toWork]
	raw := &awssqs.SendMessageBatchInput{QueueUrl: &url}
	for i, m := range list {
		e := d.newEntry(m, history{})
		raw.Entries = append(raw.Entries, types.SendMessageBatchRequestEntry{
			Id: entryIDs[i], MessageBody: &e.body,
			MessageAttributes: map[string]types.MessageAttributeValue{attributeName: {DataType: dataType, StringValue: &e.attribute}},
		})
	}
	client := f.client()
	allocs.Within(t, "a job, beyond the SDK's", ownAllocs+0.5, func() float64 {
		theirs := allocs.PerCall(func() {
			if _, err := client.SendMessageBatch(t.Context(), raw); err != nil {
				t.Fatal(err)
			}
		})
		all := allocs.PerCall(func() { put(t, d, list...) })
		t.Logf("%.1f allocations of the SDK for %d jobs, and %.1f of the driver", theirs, many, all)
		return (all - theirs) / many
	})
}
