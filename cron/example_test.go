package cron_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
)

// Report is a job that a schedule enqueues.
type Report struct {
	Team string `json:"team"`
}

// Kind names it.
func (Report) Kind() string { return "report" }

// A scheduler runs beside the API or the workers, in each of their processes.
func ExampleNew() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	d := memory.New()
	defer d.Close(context.Background())
	reports := batch.NewQueue(d, "reports")

	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		fmt.Println(err)
	}
	daily := cron.NewEntry(reports, "daily", cron.Expr("30 7 * * MON-FRI").In(berlin), Report{Team: "sales"},
		batch.Priority(reports, batch.Low))
	hourly := cron.NewEntry(reports, "hourly", cron.Every(time.Hour), Report{Team: "support"})
	hourly.Missed = cron.Last(time.Hour) // also that of before this process started
	s := cron.New(reports, cron.Fixed(daily, hourly), quietLog(), cron.WithObserver(func(e cron.Event) {
		if e.Kind == cron.TickStored {
			fmt.Println(e.Schedule, "was stored")
			stop()
		}
	}))
	if err := s.Run(ctx); err != nil { // until ctx ends
		fmt.Println(err)
	}
	// Output: hourly was stored
}

// RabbitMQ and SQS have no unique keys. There a store that the processes share says who
// stores a tick. A program that names its broker by URL can have both.
func ExampleNewWithStore() {
	start := func(ctx context.Context, d batch.Driver, store idempotency.Store) error {
		if d, ok := d.(batch.Deduplicator); ok {
			return cron.New(batch.NewQueue(d, "reports"), cron.Fixed(nightly[batch.Deduplicator]())).Run(ctx)
		}
		return cron.NewWithStore(batch.NewQueue(d, "reports"), store, cron.Fixed(nightly[batch.Driver]())).Run(ctx)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	fmt.Println(start(ctx, memory.NewPortable(), idempotency.NewMemory(0)))
	// Output: <nil>
}

// nightly is the same schedule on any broker.
func nightly[D batch.Driver]() cron.Entry[D] {
	return cron.Entry[D]{Name: "nightly", When: cron.Expr("30 2 * * *"), Args: Report{Team: "all"}}
}

// The clock in Berlin goes from 2:00 to 3:00 in March, and from 3:00 back to 2:00 in
// October.
func ExampleSchedule_Next() {
	show := func(expression string, year, month, day, hour int) {
		s := cron.Expr("CRON_TZ=Europe/Berlin " + expression)
		berlin, _ := time.LoadLocation("Europe/Berlin")
		at := time.Date(year, time.Month(month), day, hour, 0, 0, 0, berlin)
		fmt.Printf("%-12s", expression)
		for range 3 {
			at, _ = s.Next(at)
			fmt.Print("  ", at.Format("Mon 15:04 MST"))
		}
		fmt.Println()
	}
	show("30 2 * * *", 2026, 3, 28, 0)
	show("30 2 * * *", 2026, 10, 24, 3)
	show("*/30 * * * *", 2026, 3, 29, 1)
	show("*/30 * * * *", 2026, 10, 25, 1)
	// Output:
	// 30 2 * * *    Sat 02:30 CET  Sun 03:00 CEST  Mon 02:30 CEST
	// 30 2 * * *    Sun 02:30 CEST  Mon 02:30 CET  Tue 02:30 CET
	// */30 * * * *  Sun 01:30 CET  Sun 03:00 CEST  Sun 03:30 CEST
	// */30 * * * *  Sun 01:30 CEST  Sun 02:00 CEST  Sun 02:30 CEST
}

// file is a source that is a JSON file, such as a ConfigMap that is mounted:
//
//	[{"name": "sales", "when": "CRON_TZ=Europe/Berlin 30 7 * * MON-FRI", "job": {"team": "sales"}}]
type file[D batch.Driver] string

// Entries reads the file.
func (f file[D]) Entries(context.Context) ([]cron.Entry[D], error) {
	text, err := os.ReadFile(string(f))
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Name, When string
		Job        json.RawMessage
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, err
	}
	var entries []cron.Entry[D]
	for _, row := range rows {
		entries = append(entries, cron.Entry[D]{
			Name: row.Name,
			When: cron.Expr(row.When), // a mistake is of this row alone
			Args: batch.Raw{JobKind: Report{}.Kind(), ContentType: "application/json", Body: row.Job},
		})
	}
	return entries, nil
}

// A source is read again and again, so that schedules change without a deployment.
func ExampleSource() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
	}
	defer os.RemoveAll(folder)
	name := folder + "/schedules.json"
	text := `[{"name": "sales", "when": "@hourly", "job": {"team": "sales"}}]`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		fmt.Println(err)
	}

	d := memory.New()
	defer d.Close(context.Background())
	ctx, stop := context.WithCancel(context.Background())
	s := cron.New(batch.NewQueue(d, "reports"), file[*memory.Driver](name),
		cron.WithPoll(30*time.Second), quietLog(), cron.WithObserver(func(e cron.Event) {
			if e.Kind == cron.ScheduleStarted {
				fmt.Println(e.Schedule, e.When)
				stop()
			}
		}))
	if err := s.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: sales @hourly
}

// A handler learns the tick, which is the time that its work is about: it may run later.
func ExampleTickOf() {
	handler := func(_ context.Context, job *batch.Job[Report]) error {
		if tick, ok := cron.TickOf(job.JobInfo); ok {
			fmt.Println("report of the day before", tick.Time.Format(time.DateOnly))
		}
		return nil
	}
	job := &batch.Job[Report]{JobInfo: &batch.JobInfo{
		ID: "cron:reports:daily:1767252600", Queue: "reports",
		Headers: map[string]string{"cron-schedule": "daily", "cron-tick": "2026-01-01T07:30:00Z"},
	}}
	if err := handler(context.Background(), job); err != nil {
		fmt.Println(err)
	}
	// Output: report of the day before 2026-01-01
}
