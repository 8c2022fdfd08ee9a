package sqs

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// What a batch request takes: messages, and bytes in all, attributes included:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
const (
	maxEntries      = 10
	maxRequestBytes = 1 << 20
)

// batch is what a call of the driver sends in requests of one kind.
type batch[T any] struct {
	items []T
	index []int // which of the call's arguments each item is for
}

// add takes in the item for argument i.
func (b *batch[T]) add(i int, item T) {
	b.items = append(b.items, item)
	b.index = append(b.index, i)
}

// report calls failed with each error of an item and the argument that it is for.
func (b *batch[T]) report(errs []error, failed func(i int, err error)) {
	for k, err := range errs {
		if err != nil {
			failed(b.index[k], err)
		}
	}
}

// send stores entries, each by itself and in the SQS queue of q that it is for, in
// as few requests as possible. The errors, one for each, are nil if all were
// stored.
func (c client) send(ctx context.Context, q *knownQueue, entries []*entry) []error {
	return inParts(len(entries), splitBySize(entries, q.maxRequest), func(part []int) []error {
		errs := c.sendPart(ctx, q, entries, part)
		if len(part) == 1 || errs == nil || errors.As(errs[0], new(entryError)) || !errors.Is(classify(errs[0]).Kind, driver.ErrTooLarge) {
			return errs
		}
		// The server refused all of them because of one: it takes less than it did when it
		// was asked. It stored none. What it says of an entry is about that one alone, and
		// it may have stored the others.
		return inParts(len(part), singly(len(part)), func(one []int) []error {
			return c.sendPart(ctx, q, entries, part[one[0]:one[0]+1])
		})
	})
}

// sendPart stores a part of entries, a list of their indices, by one request.
func (c client) sendPart(ctx context.Context, q *knownQueue, entries []*entry, part []int) []error {
	url := q.urls[entries[part[0]].to]
	in := &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: make([]types.SendMessageBatchRequestEntry, len(part))}
	for k, i := range part {
		e := entries[i]
		in.Entries[k] = types.SendMessageBatchRequestEntry{Id: entryIDs[k], MessageBody: &e.body, DelaySeconds: e.delaySeconds}
		if e.attribute != "" {
			in.Entries[k].MessageAttributes = map[string]types.MessageAttributeValue{attributeName: {DataType: dataType, StringValue: &e.attribute}}
		}
		if isFIFO(url) {
			token := e.token
			if token == "" {
				token = rand.Text()
			}
			// A group of its own for each message, so that none waits for another.
			in.Entries[k].MessageGroupId, in.Entries[k].MessageDeduplicationId = &token, &token
		}
	}
	out, err := c.SendMessageBatch(ctx, in)
	if err != nil {
		return fault.All(len(part), err)
	}
	errs := entryErrors(len(part), out.Failed, out.Successful, func(e *types.SendMessageBatchResultEntry) *string { return e.Id })
	for i := range out.Successful {
		k := entryIndex(out.Successful[i].Id, len(part))
		if k < 0 || errs != nil && errs[k] != nil {
			continue
		}
		if err := checkSent(entries[part[k]], &out.Successful[i]); err != nil {
			errs = fault.Set(errs, len(part), k, err)
		}
	}
	return errs
}

// delete deletes messages. The errors, one for each, are nil if all were deleted.
func (c client) delete(ctx context.Context, receipts []*receipt) []error {
	return inParts(len(receipts), splitByURL(receipts), func(part []int) []error {
		in := &awssqs.DeleteMessageBatchInput{QueueUrl: &receipts[part[0]].url, Entries: make([]types.DeleteMessageBatchRequestEntry, len(part))}
		for k, i := range part {
			in.Entries[k] = types.DeleteMessageBatchRequestEntry{Id: entryIDs[k], ReceiptHandle: &receipts[i].handle}
		}
		out, err := c.DeleteMessageBatch(ctx, in)
		if err != nil {
			return fault.All(len(part), err)
		}
		return entryErrors(len(part), out.Failed, out.Successful, func(e *types.DeleteMessageBatchResultEntry) *string { return e.Id })
	})
}

// changeVisibility sets how many seconds from now messages are not handed out to
// anybody else. The errors, one for each, are nil if it did so for all.
func (c client) changeVisibility(ctx context.Context, receipts []*receipt, visibility int32) []error {
	return inParts(len(receipts), splitByURL(receipts), func(part []int) []error {
		in := &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &receipts[part[0]].url, Entries: make([]types.ChangeMessageVisibilityBatchRequestEntry, len(part))}
		for k, i := range part {
			in.Entries[k] = types.ChangeMessageVisibilityBatchRequestEntry{Id: entryIDs[k], ReceiptHandle: &receipts[i].handle, VisibilityTimeout: visibility}
		}
		out, err := c.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			return fault.All(len(part), err)
		}
		return entryErrors(len(part), out.Failed, out.Successful, func(e *types.ChangeMessageVisibilityBatchResultEntry) *string { return e.Id })
	})
}

// replacement is a message that takes the place of one that was received.
type replacement struct {
	old   *receipt
	entry *entry
}

// entriesOf are the new messages of replacements.
func entriesOf(replacements []replacement) []*entry {
	entries := make([]*entry, len(replacements))
	for i, r := range replacements {
		entries[i] = r.entry
	}
	return entries
}

// replace stores new messages, each in the SQS queue of q that it is for, and
// deletes the old one of each that was stored. The errors, one for each, are nil
// if all were replaced.
func (c client) replace(ctx context.Context, q *knownQueue, replacements []replacement) []error {
	errs := c.send(ctx, q, entriesOf(replacements))
	var stored batch[*receipt]
	for i, r := range replacements {
		if errs == nil || errs[i] == nil {
			stored.add(i, r.old)
		}
	}
	stored.report(c.delete(ctx, stored.items), func(i int, err error) {
		errs = fault.Set(errs, len(replacements), i, err)
	})
	return errs
}

// inParts calls do with each part of n items, a list of their indices, at the same
// time, and gathers the errors, one for each item; nil if there are none.
func inParts(n int, parts [][]int, do func(part []int) []error) []error {
	failed := make([][]error, len(parts))
	inParallel(len(parts), func(p int) { failed[p] = do(parts[p]) })
	var errs []error
	for p, part := range parts {
		for k, err := range failed[p] {
			if err != nil {
				errs = fault.Set(errs, n, part[k], err)
			}
		}
	}
	return errs
}

// inParallel calls do with 0 to n-1, at the same time, and returns when all have
// returned. Callers bound n by the size of their batches.
func inParallel(n int, do func(i int)) {
	var others sync.WaitGroup
	for i := range n - 1 {
		others.Go(func() { do(i) })
	}
	if n > 0 {
		do(n - 1) // the caller's goroutine has nothing else to do
	}
	others.Wait()
}

// splitBySize parts entries into what one request takes each, which is for one SQS
// queue and has at most so many bytes.
func splitBySize(entries []*entry, most int) [][]int {
	var parts [][]int
	var parted, bytes [destinations]int // how many parts there were after the last one for each, and its bytes
	for i, e := range entries {
		last := parted[e.to] - 1
		if last < 0 || len(parts[last]) == maxEntries || bytes[e.to]+e.size() > most {
			last = len(parts)
			parts = append(parts, nil)
			parted[e.to], bytes[e.to] = len(parts), 0
		}
		parts[last] = append(parts[last], i)
		bytes[e.to] += e.size()
	}
	return parts
}

// singly parts n items into as many parts.
func singly(n int) [][]int {
	parts := make([][]int, n)
	for i := range parts {
		parts[i] = []int{i}
	}
	return parts
}

// splitByURL parts receipts into what one request takes each, which is of one SQS
// queue.
func splitByURL(receipts []*receipt) [][]int {
	var parts [][]int
	last := make(map[string]int) // the last part of each URL
	for i, r := range receipts {
		at, ok := last[r.url]
		if !ok || len(parts[at]) == maxEntries {
			at = len(parts)
			parts = append(parts, nil)
			last[r.url] = at
		}
		parts[at] = append(parts[at], i)
	}
	return parts
}

// entryIDs are the names of a request's entries.
var entryIDs = func() (ids [maxEntries]*string) {
	for i := range ids {
		ids[i] = aws.String(strconv.Itoa(i))
	}
	return ids
}()

// entryIndex is that of the entry that an answer to n entries speaks of; -1 if it
// is none of them.
func entryIndex(id *string, n int) int {
	if id == nil || len(*id) != 1 || (*id)[0] < '0' || int((*id)[0]-'0') >= n {
		return -1
	}
	return int((*id)[0] - '0')
}

// entryErrors makes one error for each entry of an answer; nil if there is none. An
// answer counts by the IDs that it has and not by how many.
func entryErrors[E any](n int, failed []types.BatchResultErrorEntry, done []E, id func(*E) *string) []error {
	var mentioned [maxEntries]bool
	count := 0
	for i := range done {
		if at := entryIndex(id(&done[i]), n); at >= 0 && !mentioned[at] {
			mentioned[at] = true
			count++
		}
	}
	if len(failed) == 0 && count == n {
		return nil
	}
	errs := make([]error, n)
	for i := range errs {
		if !mentioned[i] {
			errs[i] = errNotMentioned
		}
	}
	for i := range failed {
		if at := entryIndex(failed[i].Id, n); at >= 0 {
			errs[at] = entryErrorOf(&failed[i])
		}
	}
	return errs
}
