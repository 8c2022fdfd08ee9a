package keda

import (
	"maps"
	"slices"
	"testing"
)

// Every section of a broker has triggers, and each of them has settings.
func TestTriggers(t *testing.T) {
	for heading, want := range map[string][][]string{
		"Redis":                             {{"redis-streams", "redis-streams", "redis"}},
		"RabbitMQ":                          {{"rabbitmq", "rabbitmq"}, {"rabbitmq", "rabbitmq"}},
		"NATS JetStream":                    {{"nats-jetstream"}},
		"Amazon SQS":                        {{"aws-sqs-queue"}, {"aws-sqs-queue", "aws-sqs-queue"}},
		"Any broker, by the health package": {{"metrics-api"}},
		"Any broker, by Prometheus":         {{"prometheus"}},
	} {
		blocks, err := Triggers(heading, "mails")
		if err != nil {
			t.Error(err)
			continue
		}
		var got [][]string
		for _, block := range blocks {
			var types []string
			for _, trigger := range block {
				types = append(types, trigger.Type)
				if len(trigger.Metadata) < 3 {
					t.Errorf("%s: the trigger %s has only %v", heading, trigger.Type, trigger.Metadata)
				}
			}
			got = append(got, types)
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s has the triggers %q, want %q", heading, got, want)
		}
	}
	if _, err := Triggers("Kafka", "mails"); err == nil {
		t.Error("a heading that is not there has triggers")
	}
	if _, err := Triggers("What to look out for", "mails"); err == nil {
		t.Error("a section without triggers has some")
	}
}

func TestParse(t *testing.T) {
	const block = `advanced:
  scalingModifiers:
    formula: "a + b"
triggers:
  - type: one
    name: a
    metadata:
      quoted: "with # and: {braces}"
      single: 'max(x{queue="q"})'
      plain: amqp # a comment
      url: http://host:9090/path
  - type: two
    metadata:
      n: "5"
`
	got, err := parse(block)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := map[string]string{"quoted": "with # and: {braces}", "single": `max(x{queue="q"})`, "plain": "amqp", "url": "http://host:9090/path"}
	if got[0].Type != "one" || got[0].Name != "a" || !maps.Equal(got[0].Metadata, want) {
		t.Errorf("the first is %+v", got[0])
	}
	if got[1].Type != "two" || got[1].Name != "" || got[1].Metadata["n"] != "5" {
		t.Errorf("the second is %+v", got[1])
	}
	for _, bad := range []string{"triggers:\n  name: x\n", "triggers:\n  - type: x\n    nothing\n", "triggers:\n      key: x\n"} {
		if got, err := parse(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}
