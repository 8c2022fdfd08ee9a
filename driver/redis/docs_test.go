package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/internal/brokers"
)

// welcome is the job of docs/wire.md.
type welcome struct {
	UserID int `json:"user_id"`
}

// Kind is its name there.
func (welcome) Kind() string { return "email.welcome" }

// command finds the one line of docs/wire.md that begins with a command's name, for a
// queue of the test's own, and splits it as a shell would.
func command(t *testing.T, name, queue string) []any {
	t.Helper()
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile("(?m)^"+name+" .*$").FindAllString(string(text), -1)
	if len(lines) != 1 {
		t.Fatalf("wire.md has %d lines that begin with %s", len(lines), name)
	}
	line := strings.ReplaceAll(lines[0], "{emails}", "{"+queue+"}")
	var args []any
	for _, word := range regexp.MustCompile(`"[^"]*"\s|\S+`).FindAllString(line, -1) {
		word = strings.TrimSpace(word)
		if strings.HasPrefix(word, `"`) {
			word = strings.Trim(word, `"`)
		}
		args = append(args, word)
	}
	return args
}

// TestEnqueueFromAnotherLanguage sends the commands of docs/wire.md, as a program in any
// language would, before and while a worker of batch runs.
func TestEnqueueFromAnotherLanguage(t *testing.T) {
	for _, version := range brokers.RedisVersions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			enqueueFromAnotherLanguage(t, brokers.Redis(t, version))
		})
	}
}

func enqueueFromAnotherLanguage(t *testing.T, server *brokers.Instance) {
	options, err := goredis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	foreign := goredis.NewClient(options)
	defer foreign.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	d, err := redis.Open(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(ctx)

	name := fmt.Sprintf("wire-%d", time.Now().UnixNano())
	queue := batch.NewQueue(d, name)
	defer queue.Delete(ctx)
	enqueue := func() {
		for _, command := range [][]any{command(t, "XADD", name), command(t, "EVAL", name)} {
			if err := foreign.Do(ctx, command...).Err(); err != nil && !errors.Is(err, goredis.Nil) {
				t.Fatal(err)
			}
		}
	}
	enqueue()

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: name}}})
	ran := make(chan *batch.Job[welcome])
	batch.Handle(w, func(_ context.Context, job *batch.Job[welcome]) error {
		ran <- job
		return nil
	})
	if err := w.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		select {
		case job := <-ran:
			at := time.UnixMilli(1795435200000)
			if job.Args.UserID != 7 || job.ID != "0192f7aa-7e10-7000-8000-1d2c3b4a5968" || !job.EnqueuedAt.Equal(at) || job.ContentType != "application/json" {
				t.Errorf("job %d is %+v with %+v", i+1, job.JobInfo, job.Args)
			}
		case <-ctx.Done():
			t.Fatalf("job %d did not come", i+1)
		}
		if i == 0 {
			enqueue()
		}
	}
	if err := w.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}
