// Package cron enqueues jobs at the times of schedules. Any number of processes run the
// same schedules, and each tick is one job: no process leads, and none need be the only
// one.
//
//	berlin, err := time.LoadLocation("Europe/Berlin")
//	...
//	s := cron.New(reports, cron.Fixed(
//		cron.NewEntry(reports, "daily", cron.Expr("30 7 * * MON-FRI").In(berlin), Report{}),
//		cron.NewEntry(reports, "probe", cron.Every(15*time.Minute), Probe{}),
//	))
//	err = s.Run(ctx) // until ctx ends
//
// Jobs run where the queue's workers are, which need not be where the scheduler runs.
//
// # Once, by type
//
// What a broker can do decides how a tick is stored once, and the compiler knows it:
//
//   - [New] takes the queue of a [batch.Deduplicator]: memory, Redis, NATS. All processes
//     enqueue the tick under the same unique key ([Tick.Key]), and the broker stores the
//     first. A process that is killed at any moment leaves no tick without a job, and none
//     with two.
//   - [NewWithStore] takes any queue, and a store that the processes share: RabbitMQ, SQS.
//     A process that is killed between storing the job and marking the claim in the store
//     leaves a second job, under the same ID.
//
// Both run the job at least once, like any other: see package idempotency.
//
// Keys are kept until the schedule's next tick is due, or an hour if that is longer, as far
// as the broker's keys last. A later version of the program with a longer [Last] therefore
// finds the last tick stored. For a longer [Skip] or [All], set [Entry].Since to the time
// of its deployment, or ticks of before may be stored again.
//
// Removing a job that has not run, by a purge for example, frees its key. A process that
// is late with the tick may then store it again.
//
// Keys are kept for a while only. How long they must be kept follows from what processes may
// do: [New] has the rule, and refuses schedules for which the broker's keys do not last. A
// process whose clock is off by more than [WithMaxSkew] may break it; nothing can see that
// from inside. One that was stopped in the middle of a call for longer than keys live is
// found out when it goes on, and told by [TickDoubtful].
//
// # Expressions
//
// [Parse] reads five fields, or six with seconds before them:
//
//	second   0-59   optional
//	minute   0-59
//	hour     0-23
//	day      1-31, L for the last of the month, L-2 for two days before it
//	month    1-12 or JAN-DEC
//	weekday  0-7 or SUN-SAT, 0 and 7 are Sunday; FRI#2 for the second Friday of the month,
//	         FRIL for the last
//
// A field is * for all values, or a list such as 1,5,10-20. A * or a range may have a step:
// */15, 9-17/2; 5/15 is 5-59/15. ? is * in the day and the weekday. Names are not
// case-sensitive. If neither the day nor the weekday has a *, one of both is enough: "0 0 13
// * FRI" is each 13th and each Friday. That is what crontab(5) says of these fields.
//
// @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly stand for the
// expressions that they stand for everywhere, and "@every 90s" for [Every]. CRON_TZ=ZONE or
// TZ=ZONE before the expression is the same as [Schedule.In]. Time zones are the system's: a
// program for an image that has none imports _ "time/tzdata".
//
// # Daylight saving
//
// Clocks are set forward and back, so some times on the wall do not exist, and others come
// twice. What a schedule does then depends on its hour:
//
//   - An expression that names its hours (30 2 * * *, 0 9-17 * * *) is about the clock on
//     the wall. Each of its times fires when the clock first shows it or jumps past it: one
//     in the gap fires at the change, and one that comes twice fires the first time.
//   - An expression with * or / in its hour (*/30 * * * *, 0 */6 * * *) is about time that
//     elapses. It fires whenever the clock shows one of its times: twice in an hour that
//     comes twice, and not at all in one that does not exist.
//   - [Every] does not look at the clock on the wall.
//
// In Berlin, where the clock goes from 2:00 to 3:00 in March, and from 3:00 back to 2:00 in
// October, "30 2 * * *" fires at 3:00 in March, and at the first 2:30 in October.
//
// # Missed ticks
//
// [Missed] says what happens to the ticks of a time in which no process ran, or the broker
// was away: skip them ([Skip]), store the last ([Last]), or all up to a bound ([All]). What
// fails is tried again until then, and no tick is given up in silence: [TickSkipped] says
// which, and why.
//
// # Schedules that change
//
// A [Source] is a list of schedules that may change while the scheduler runs: a table, a
// file. It is polled, and may tell of changes by itself ([Notifier]).
package cron
