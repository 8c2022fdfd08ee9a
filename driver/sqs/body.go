package sqs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"
)

// How a body is written as SQS's message body, which is a text of at least one
// character out of #x9 #xA #xD #x20-#xD7FF #xE000-#xFFFD #x10000-#x10FFFF:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
const (
	encodingText   = ""
	encodingBase64 = "base64"
	encodingEmpty  = "empty"
)

// emptyBody stands for a body of no bytes.
const emptyBody = "-"

var errEncoding = errors.New("the body's encoding is not known")

// encodeBody writes a body as text, as it is where SQS takes it.
func encodeBody(body []byte) (text, encoding string) {
	switch {
	case len(body) == 0:
		return emptyBody, encodingEmpty
	case isText(body):
		return string(body), encodingText
	}
	return base64.StdEncoding.EncodeToString(body), encodingBase64
}

// decodeBody is the inverse.
func decodeBody(text, encoding string) ([]byte, error) {
	switch encoding {
	case encodingText:
		return []byte(text), nil
	case encodingEmpty:
		return nil, nil
	case encodingBase64:
		body, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("the body is not base64: %w", err)
		}
		return body, nil
	}
	return nil, fmt.Errorf("%w: %q", errEncoding, encoding)
}

// isText tells whether SQS takes the bytes as text. Carriage returns are allowed
// but would not survive XML, which some servers and clients still speak, so they
// do not count as text.
func isText[T string | []byte](s T) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && size == 1 || r == 0xFFFE || r == 0xFFFF {
			return false
		}
		i += size
	}
	return true
}
