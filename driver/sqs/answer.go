package sqs

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/internal/wire"
)

// What an answer may lack. The SDK's own check of checksums is switched off: it takes
// a whole request for failed because of one message, and panics on an answer whose
// entries have no ID.
var (
	// errDamaged is for a message that is not what its checksum is of.
	errDamaged = errors.New("a message differs from its MD5 checksum")
	// errNoURL is for an answer without the URL of a queue.
	errNoURL = errors.New("the answer has no QueueUrl")
	// errNotPaged is for a list that does not go on.
	errNotPaged = errors.New("the answer's NextToken is that of the page before")
)

// lacking is the error of a server that leaves out what the driver relies on.
type lacking struct{ what string }

// Error names what is missing.
func (e lacking) Error() string { return "the server's answer lacks " + e.what }

// checkSent compares the checksums of an answer with what was sent.
func checkSent(e *entry, answer *types.SendMessageBatchResultEntry) error {
	if answer.MD5OfMessageBody != nil && !isMD5(*answer.MD5OfMessageBody, []byte(e.body)) {
		return errDamaged
	}
	switch {
	case e.attribute == "":
		return nil
	case answer.MD5OfMessageAttributes == nil || *answer.MD5OfMessageAttributes == "":
		return lacking{"MD5OfMessageAttributes: it does not store message attributes, in which everything of a job but its body is"}
	case !isMD5(*answer.MD5OfMessageAttributes, attributeForm(e.attribute)):
		return errDamaged
	}
	return nil
}

// checkReceived compares the checksums of a message with what it has.
func checkReceived(m *types.Message) error {
	if m.MD5OfBody != nil && m.Body != nil && !isMD5(*m.MD5OfBody, []byte(*m.Body)) {
		return errDamaged
	}
	a, ok := m.MessageAttributes[attributeName]
	if ok && len(m.MessageAttributes) == 1 && a.StringValue != nil && a.DataType != nil && *a.DataType == *dataType &&
		m.MD5OfMessageAttributes != nil && !isMD5(*m.MD5OfMessageAttributes, attributeForm(*a.StringValue)) {
		return errDamaged
	}
	return nil
}

// isMD5 tells whether text is the checksum of what, in hexadecimal digits.
func isMD5(text string, what []byte) bool {
	sum := md5.Sum(what)
	var digits [2 * md5.Size]byte
	hex.Encode(digits[:], sum[:])
	return strings.EqualFold(text, string(digits[:]))
}

// attributeForm is what the checksum of a message with the attribute alone is of:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func attributeForm(value string) []byte {
	const text = 1 // the transport type of String
	b := make([]byte, 0, len(attributeName)+len(*dataType)+len(value)+13)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(attributeName))), attributeName...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(*dataType))), *dataType...)
	b = append(b, text)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
}

// systemAttributes are what SQS says of a message.
type systemAttributes struct {
	received    int
	sent, first time.Time
}

// readSystemAttributes reads those that a receive asks for. Without them a delay would
// be early, and a job that kills its workers would never be found out.
func readSystemAttributes(m *types.Message) (systemAttributes, error) {
	var missing []string
	read := func(name types.MessageSystemAttributeName, high int64) int64 {
		n, err := strconv.ParseInt(m.Attributes[string(name)], 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) || n < 0 || n > high && high == wire.MaxTime {
			missing = append(missing, string(name))
			return 0
		}
		return min(n, high)
	}
	received := read(types.MessageSystemAttributeNameApproximateReceiveCount, maxCount)
	sent := read(types.MessageSystemAttributeNameSentTimestamp, wire.MaxTime)
	first := read(types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp, wire.MaxTime)
	s := systemAttributes{received: max(int(received), 1), sent: time.UnixMilli(sent).UTC(), first: time.UnixMilli(first).UTC()}
	if len(missing) > 0 {
		return s, lacking{fmt.Sprintf("%s of a message, or they are no numbers of SQS: it may not know MessageSystemAttributeNames", strings.Join(missing, ", "))}
	}
	return s, nil
}
