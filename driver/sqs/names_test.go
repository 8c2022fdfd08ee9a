package sqs

import (
	"fmt"
	"strings"
	"testing"
)

// No two queues share an SQS queue, and none has a name that SQS refuses.
func TestNames(t *testing.T) {
	var queues []string
	for _, stem := range []string{"a", "a-dead", "a-jobs", "a-retry", "a-fifo", "a-fifo-dead", "a-fifo-retry", "-dead", "dead"} {
		for _, end := range []string{"", "-dead", "-jobs", "-retry", "-fifo", "-jobs-dead", "-fifo-dead"} {
			queues = append(queues, stem+end)
		}
	}
	owner := make(map[string]string)
	done := make(map[string]bool)
	for _, queue := range queues {
		for _, fifo := range []bool{false, true} {
			key := fmt.Sprint(queue, fifo)
			if done[key] {
				continue
			}
			done[key] = true
			n, err := newNames("", queue, fifo)
			if err != nil {
				t.Fatal(err)
			}
			for _, full := range []string{n.work, n.retry, n.dead} {
				if other, ok := owner[full]; ok && full != "" {
					t.Errorf("%s is used by %s and %s", full, other, key)
				}
				owner[full] = key
			}
		}
	}
	longest := strings.Repeat("x", 59) + deadSuffix
	for _, fifo := range []bool{false, true} {
		n, err := newNames("", longest, fifo)
		if err != nil || len(n.dead) > 80 {
			t.Errorf("a name of 64 bytes: %+v, %v", n, err)
		}
	}
	if _, err := newNames("prefix-", longest, true); err == nil {
		t.Error("a name that is too long was taken")
	}
}
